package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"extend-intake/dev/guard"
)

// recorder stands between the functions and the local AWS. It sends DynamoDB's calls
// to a server of their own, and counts all calls while it is recording.
type recorder struct {
	aws, db http.Handler
	direct  *http.Client // asks the database past everything
	table   table

	mu        sync.Mutex
	recording bool
	function  string                     // the one that is at work
	calls     map[string]map[string]call // by function and "service action"
	failure   error                      // the first
}

// call is what was counted of one kind of call. A unit is what AWS charges for.
type call struct {
	count int
	units float64
}

// newRecorder returns one between whom it is served to, which has to be guarded, and the
// programs behind these transports.
func newRecorder(aws, db http.RoundTripper, t table) *recorder {
	return &recorder{
		aws: guard.Proxy(aws), db: guard.Proxy(db), direct: &http.Client{Transport: db},
		table: t, calls: make(map[string]map[string]call),
	}
}

// at says which function is at work from now on, and whether its calls count.
func (r *recorder) at(function string, recording bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.function, r.recording = function, recording
}

var services = map[string]string{"DynamoDB_20120810": "DynamoDB", "AmazonSQS": "SQS", "AWSEvents": "EventBridge", "secretsmanager": "Secrets Manager"}

// kind names a call: its service and its action.
func kind(req *http.Request) (service, action string) {
	if prefix, action, ok := strings.Cut(req.Header.Get("X-Amz-Target"), "."); ok {
		return cmp.Or(services[prefix], prefix), action
	}
	switch req.Method { // S3 alone has no such header
	case http.MethodGet:
		return "S3", "GetObject"
	case http.MethodPut:
		return "S3", "PutObject"
	}
	return "S3", req.Method
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	service, action := kind(req)
	proxy := r.aws
	if service == "DynamoDB" {
		proxy = r.db
	}
	r.mu.Lock()
	recording, function := r.recording, r.function
	r.mu.Unlock()
	if !recording {
		proxy.ServeHTTP(w, req)
		return
	}
	if req.URL.Query().Has("X-Amz-Signature") {
		function = "Extend" // with the link that it was given
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	units, err := r.units(service, action, body, func() (status int) {
		s := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		proxy.ServeHTTP(s, req)
		return s.status
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failure = cmp.Or(r.failure, err)
	if r.calls[function] == nil {
		r.calls[function] = make(map[string]call)
	}
	c := r.calls[function][service+" "+action]
	r.calls[function][service+" "+action] = call{c.count + 1, c.units + units}
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (s *statusWriter) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// units makes a call, and says how many it is paid for.
func (r *recorder) units(service, action string, body []byte, do func() (status int)) (float64, error) {
	var in struct {
		TableName      string
		Key, Item      attributes
		ConsistentRead bool
		Entries        []json.RawMessage
	}
	if service != "S3" {
		if err := json.Unmarshal(body, &in); err != nil {
			return 0, fmt.Errorf("%s %s: %w", service, action, err)
		}
	}
	key := in.Key
	if in.Item != nil {
		key = attributes{}
		for _, k := range r.table.KeySchema {
			key[k.AttributeName] = in.Item[k.AttributeName]
		}
	}
	switch action {
	case "PutItem", "UpdateItem", "DeleteItem":
		before, err := r.item(in.TableName, key)
		if err != nil {
			return 0, err
		}
		if do() != http.StatusOK { // a failed condition costs as much as reading the item
			return chunks(before.size(), 1<<10), nil
		}
		after, err := r.item(in.TableName, key)
		return r.table.writeUnits(before, after), err
	case "GetItem":
		do()
		item, err := r.item(in.TableName, key)
		return readUnits(item.size(), in.ConsistentRead), err
	case "Query":
		do()
		return readUnits(0, in.ConsistentRead), nil // keys of an index, less than 4 KB here
	case "PutEvents":
		do()
		units := 0.0
		for _, e := range in.Entries {
			units += chunks(len(e), eventChunk)
		}
		return units, nil
	case "SendMessage":
		do()
		return chunks(len(body), queueChunk), nil
	}
	do()
	return 1, nil
}

func readUnits(size int, consistent bool) float64 {
	units := chunks(size, 4<<10)
	if !consistent {
		units /= 2
	}
	return units
}

// rawItem is DynamoDB's answer to a GetItem. The local server itself checks no signature.
func (r *recorder) rawItem(table string, key attributes) ([]byte, error) {
	body, err := json.Marshal(map[string]any{"TableName": table, "Key": key, "ConsistentRead": true})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, "http://database", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "DynamoDB_20120810.GetItem")
	req.Header.Set("X-Amz-Date", "20250101T000000Z")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20250101/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date, Signature=0")
	resp, err := r.direct.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GetItem: status %d: %s", resp.StatusCode, answer)
	}
	return answer, err
}

func (r *recorder) item(table string, key attributes) (attributes, error) {
	answer, err := r.rawItem(table, key)
	if err != nil {
		return nil, err
	}
	return parseItem(answer)
}

// err is the first thing that could not be counted.
func (r *recorder) err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failure
}
