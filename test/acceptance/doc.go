// Package acceptance tests template.yaml as SAM deploys it to a local AWS: from the
// upload to the stored output, to the event on the bus and to a consumer. The tests
// share one deployment (theStack); some deploy the template another way.
package acceptance
