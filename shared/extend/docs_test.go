package extend

import (
	"cmp"
	"encoding/json"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func apiPage(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The table of docs/api.md has every operation of the contract once, with the method that makes the call, what it costs and
// whether it is repeatable.
func TestTableOfCalls(t *testing.T) {
	t.Parallel()
	page := apiPage(t)
	rows := map[string][]string{} // by request
	for line := range strings.SplitSeq(page, "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if m := regexp.MustCompile("^`([A-Z]+ /[^`]*)`$"); len(cells) == 5 && m.MatchString(cells[1]) {
			request := strings.Trim(cells[1], "`")
			if rows[request] != nil {
				t.Errorf("%s is there twice", request)
			}
			rows[request] = cells
		}
	}
	ops := contractOperations()
	if len(rows) != len(ops) {
		t.Errorf("%d rows, %d operations", len(rows), len(ops))
	}
	for _, op := range ops {
		row, ok := rows[op.Method+" "+op.Path]
		if !ok {
			t.Errorf("%s is not there", op.Name)
			continue
		}
		if op.Deprecated != strings.Contains(row[0], "(deprecated)") {
			t.Errorf("%s: deprecated is %v", op.Name, op.Deprecated)
		}
		if yes := row[4] == "yes"; yes != op.Repeatable || !yes && !strings.HasPrefix(row[4], "no: ") {
			t.Errorf("%s: repeatable is %q", op.Name, row[4])
		}
		paid := op.Declares(http.StatusPaymentRequired) || regexp.MustCompile(`new (run|bill|batch)|one run per file`).MatchString(op.RepeatNote)
		if free := row[3] == "nothing"; free == paid {
			t.Errorf("%s: costs %s", op.Name, row[3])
		}
		names := strings.Split(row[2], ", ")
		if len(names) != 1+btoi(op.Pagination != nil) {
			t.Errorf("%s: methods %q", op.Name, names)
		}
		for _, name := range names {
			if got := requestOf(t, op, strings.Trim(name, "`")); got != op.Method+" "+op.Path {
				t.Errorf("%s is said to be %s, which sends %s", op.Name, name, cmp.Or(got, "nothing"))
			}
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// requestOf calls a method by its name and returns the request that it sends, with the names of ids in place of them.
func requestOf(t *testing.T, op contractOperation, name string) string {
	t.Helper()
	sent := ""
	c := newFakeClient(t, func(r *http.Request) (*http.Response, error) {
		sent = r.Method + " " + r.URL.Path
		return response(400, ""), nil
	})
	service, method, _ := strings.Cut(name, ".")
	field := reflect.ValueOf(c).Elem().FieldByName(service)
	if !field.IsValid() || !field.MethodByName(method).IsValid() {
		t.Errorf("there is no %s", name)
		return ""
	}
	m := field.MethodByName(method)
	args := []reflect.Value{reflect.ValueOf(t.Context())}
	e := readExample(t, op.Examples("request")[0])
	ids := slices.Clone(op.PathParameters)
	nextID := func() reflect.Value {
		id := "{" + ids[0].Name + "}"
		ids = ids[1:]
		return reflect.ValueOf(id)
	}
	for i := 1; i < m.Type().NumIn(); i++ {
		arg := reflect.New(m.Type().In(i))
		switch arg.Elem().Kind() {
		case reflect.String:
			arg.Elem().Set(nextID())
		case reflect.Struct:
			if arg.Type().Elem() == reflect.TypeFor[UploadFileRequest]() {
				arg.Elem().Set(reflect.ValueOf(UploadFileRequest{Name: "a.pdf", Content: strings.NewReader("")}))
				break
			}
			for _, raw := range []json.RawMessage{e.Query, e.Body} {
				if err := json.Unmarshal(raw, arg.Interface()); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			for j := range arg.Elem().NumField() {
				if f := arg.Elem().Type().Field(j); f.Tag.Get("json") == "-" && f.Type.Kind() == reflect.String && strings.HasSuffix(f.Name, "ID") {
					arg.Elem().Field(j).Set(nextID())
				}
			}
		}
		args = append(args, arg.Elem())
	}
	out := m.Call(args)
	if loop := out[0]; loop.Kind() == reflect.Func { // it asks when it is ranged over
		for range loop.Seq2() {
			break
		}
	}
	return sent
}

// The program of the page is the one that is run as an example.
func TestProgramOfThePage(t *testing.T) {
	t.Parallel()
	block := regexp.MustCompile("(?s)```go\n(.*?)```").FindStringSubmatch(apiPage(t))
	if block == nil {
		t.Fatal("no program")
	}
	source, err := os.ReadFile("example_services_test.go")
	if err != nil {
		t.Fatal(err)
	}
	plain := strings.ReplaceAll(string(source), "\n\t", "\n")
	if !strings.Contains(plain, strings.TrimSpace(block[1])) {
		t.Error("the program is not the example")
	}
	if n := strings.Count(block[1], "\n"); n > 25 {
		t.Errorf("%d lines", n)
	}
}
