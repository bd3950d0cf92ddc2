// Lambda serves package submit as a Lambda function.
package main

import (
	"extend-intake/functions/submit"
	"extend-intake/shared/boot"
)

func main() { boot.Run(submit.New) }
