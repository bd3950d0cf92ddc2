// Package contract has the tests that compare what is written in more than one place:
// template.yaml with the code that reads its variables, the roles with the AWS calls
// that each function can make, the alarms and the dashboard with the metrics, and the
// documentation's tables with all of them. They read files and deploy nothing.
package contract
