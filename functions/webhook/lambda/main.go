// Lambda serves package webhook as a Lambda function.
package main

import (
	"extend-intake/functions/webhook"
	"extend-intake/shared/boot"
)

func main() { boot.Run(webhook.New) }
