// Lambda serves package publish as a Lambda function.
package main

import (
	"extend-intake/functions/publish"
	"extend-intake/shared/boot"
)

func main() { boot.Run(publish.New) }
