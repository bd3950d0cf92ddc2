// Command invoke runs the events of events/ through the real `sam local`, in
// containers. dev/invoke/invoke.sh finds the container engine and the image, and
// starts it:
//
//	dev/invoke/invoke.sh [EVENT…]
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"extend-intake/dev/stack"
)

func main() {
	flags := flag.NewFlagSet("invoke", flag.ContinueOnError)
	image := flags.String("image", "", "what containers are made of instead of Lambda's `image`")
	err := flags.Parse(os.Args[1:])
	if err == nil {
		err = invoke(stack.UntilStopped(), os.Stdout, *image, flags.Args())
	}
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, stack.ErrStopped):
		fmt.Fprintln(os.Stderr, "stopped, nothing is left running")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "invoke:", err)
		os.Exit(1)
	}
}
