package emulator

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

func TestEmulators(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(context.Context, string) (*Server, error){
		"MiniStack": StartMiniStack,
		"Dynoxide":  StartDynoxide,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := start(t.Context(), t.TempDir())
			if errors.Is(err, ErrNotInstalled) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Stop()
			if _, err := dynamodb.NewFromConfig(AWSConfig(s.URL)).ListTables(t.Context(), nil); err != nil {
				t.Error(err)
			}
			s.Stop()
			address, err := url.Parse(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			if conn, err := net.Dial("tcp", address.Host); err == nil {
				conn.Close()
				t.Errorf("%s still answers after Stop", s.URL)
			}
		})
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "program")
	write := func(lines string) {
		if err := os.WriteFile(script, []byte("#!/bin/sh\n"+lines), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p := program{
		name:    "program",
		command: func(address, string) (args, env []string) { return nil, nil },
		health:  "/",
	}

	write("echo what is wrong >&2; exit 3")
	_, err := startOnce(t.Context(), t.TempDir(), script, p)
	if err == nil || !strings.Contains(err.Error(), "what is wrong") || errors.Is(err, errPortTaken) {
		t.Errorf("err = %v, want the end of its log", err)
	}

	write("echo 127.0.0.1:1 is already in use; exit 1")
	if _, err := startOnce(t.Context(), t.TempDir(), script, p); !errors.Is(err, errPortTaken) {
		t.Errorf("err = %v, want %v", err, errPortTaken)
	}

	write("exec sleep 1000")
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err := startOnce(ctx, t.TempDir(), script, p); !errors.Is(err, why) {
		t.Errorf("err = %v, want %v", err, why)
	}
}

func TestNothingOfTheCallerIsSeen(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "a real one")
	t.Setenv("PERSIST_STATE", "1")
	dir := t.TempDir()
	script := filepath.Join(dir, "program")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nenv; exit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := startOnce(t.Context(), dir, script, program{
		name:    "program",
		command: func(address, string) (args, env []string) { return nil, Environ("http://127.0.0.1:1") },
	})
	if err == nil || !strings.Contains(err.Error(), "AWS_SECRET_ACCESS_KEY="+Key.Secret+"\n") || strings.Contains(err.Error(), "PERSIST_STATE") {
		t.Errorf("err = %v, want the environment that we made", err)
	}
}
