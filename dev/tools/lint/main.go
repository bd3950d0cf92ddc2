// Command lint looks for security problems in Go code with the default rules of gosec, and
// fails if there is one. Its arguments are directories of packages. An exception
// stands beside its line, with the rule and the reason, or it is none:
//
//	// #nosec G304 -- the path is a constant
//
// gosec's own command says the same, but it contains the clients of four AI services and
// takes two minutes to compile, where this takes ten seconds. The module is one of its
// own so that gosec's dependencies stay out of the functions'.
package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"runtime"
	"strings"

	"github.com/securego/gosec/v2"
	"github.com/securego/gosec/v2/analyzers"
	"github.com/securego/gosec/v2/rules"
)

func main() {
	findings, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "gosec:", err)
	}
	if findings > 0 || err != nil {
		os.Exit(1)
	}
}

func run(directories []string) (findings int, err error) {
	config := gosec.NewConfig()
	config.SetGlobal(gosec.NoSecRequireRules, "true")
	config.SetGlobal(gosec.NoSecRequireJustification, "true")
	syntax, flow := rules.Generate(false), analyzers.Generate(false)
	scanner := gosec.NewAnalyzer(config, false, false, false, runtime.NumCPU(), log.New(io.Discard, "", 0))
	scanner.LoadRules(syntax.RulesInfo())
	scanner.LoadAnalyzers(flow.AnalyzersInfo())
	if err := scanner.Process(nil, directories...); err != nil {
		return 0, err
	}
	issues, metrics, problems := scanner.Report()
	here, _ := os.Getwd()
	for _, i := range issues {
		fmt.Printf("%s: %s: %s\n%s", strings.TrimPrefix(i.FileLocation(), here+"/"), i.RuleID, i.What, i.Code)
	}
	for file, list := range problems { // what can't be read, and exceptions without a reason
		for _, problem := range list {
			fmt.Printf("%s:%d: %s\n", strings.TrimPrefix(file, here+"/"), problem.Line, problem.Err)
		}
		findings += len(list)
	}
	findings += len(issues)
	fmt.Printf("gosec: %d rules, %d files of Go without the tests: %d findings, %d argued exceptions\n",
		len(syntax.Rules)+len(flow.Analyzers), metrics.NumFiles, findings, metrics.NumNosec)
	if metrics.NumFiles == 0 {
		return findings, fmt.Errorf("there is no Go in %v", directories)
	}
	return findings, nil
}
