// Package view is the page that `intake view` serves to the person who runs it: uploaded
// documents beside what was read from them.
//
// It knows nothing of AWS. A [Stack] of functions hands it records, outputs and originals;
// [New] makes a [Page] of it, and [Page.Serve] serves that on a loopback address until it is
// idle:
//
//	page, err := view.New(stack, view.Options{})
//	…
//	defer page.Close()
//	listener, err := view.Listen(0)
//	…
//	fmt.Println(page.URL(listener.Addr()))
//	err = page.Serve(ctx, listener)
//
// # What it promises
//
//   - Only this machine reaches it, and only who knows the path, which is made up anew each
//     time. See [Page.ServeHTTP] for what else is refused.
//   - The page makes no request to anybody else, and no presigned URL and no secret is in it.
//   - Values are shown as the stored JSON has them, digit by digit. A confidence that Extend
//     did not say is shown as not said.
//   - Documents are drawn in a sandbox (PDFium as WebAssembly, without files or network), or
//     shown as text. HTML, SVG and XML are never served as such.
//   - Nothing is changed, unless [Stack.Reprocess] is set, and then only after a person has
//     typed "yes".
package view
