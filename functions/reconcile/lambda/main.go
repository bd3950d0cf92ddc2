// Lambda serves package reconcile as a Lambda function.
package main

import (
	"extend-intake/functions/reconcile"
	"extend-intake/shared/boot"
)

func main() { boot.Run(reconcile.New) }
