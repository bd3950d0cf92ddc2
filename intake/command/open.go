package command

import (
	"context"
	"net/url"

	"github.com/spf13/cobra"

	"extend-intake/intake/exit"
	"extend-intake/intake/out"
	"extend-intake/intake/selector"
)

func init() { register(newOpen) }

// Links are where a document is seen.
type Links struct {
	DocumentID string `json:"documentId"`
	Extend     string `json:"extend,omitempty" jsonschema:"The run in Extend's dashboard."`
	S3         string `json:"s3,omitempty" jsonschema:"The uploaded version in the console of S3."`
	Table      string `json:"table" jsonschema:"The item in the console of DynamoDB."`
}

func newOpen(e *Env) *cobra.Command {
	return e.leaf(spec{
		use: "open DOCUMENT [flags]", short: "Print where a document is seen in a browser", class: Read, output: Links{}, args: cobra.ExactArgs(1),
		calls: []string{"dynamodb:Query", "dynamodb:GetItem", "dynamodb:BatchGetItem", "s3:GetObject", "s3:ListBucketVersions"},
		long: `open prints links to the run in Extend's dashboard, to the upload in the console of S3, and to the
item in that of DynamoDB.`,
		example: "  intake open s3://my-bucket/invoices/42.pdf\n  xdg-open \"$(intake open doc_… --jq .extend)\"",
		run: func(ctx context.Context, args []string) error {
			sel, err := e.Select(args, selector.Flags{})
			if err != nil {
				return err
			}
			s, err := e.Stack(ctx)
			if err != nil {
				return err
			}
			items, err := e.get(ctx, s, sel, false, 0)
			if err != nil {
				return err
			}
			if len(items) != 1 || items[0].Record == nil {
				return exit.New(exit.NotFound, "there is no single document %s", args[0]).Next("intake ls %s   lists what there is", args[0])
			}
			rec := items[0].Record
			console := "https://" + s.Region + ".console.aws.amazon.com/"
			l := Links{
				DocumentID: rec.DocumentID, Extend: rec.RunURL,
				Table: console + "dynamodbv2/home?region=" + s.Region + "#edit-item?itemMode=2&pk=" + url.QueryEscape(rec.DocumentID) + "&table=" + url.QueryEscape(s.Table()),
			}
			if rec.Key != "" {
				q := url.Values{"region": {s.Region}, "prefix": {rec.Key}}
				if rec.VersionID != "" {
					q.Set("versionId", rec.VersionID)
				}
				l.S3 = console + "s3/object/" + url.PathEscape(rec.Bucket) + "?" + q.Encode()
			}
			return e.Out().Value(l, l.DocumentID, func() []out.Field {
				return []out.Field{{Label: "Extend", Text: l.Extend}, {Label: "S3", Text: l.S3}, {Label: "table", Text: l.Table}}
			})
		},
	})
}
