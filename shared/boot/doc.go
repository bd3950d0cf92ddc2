// Package boot does what every function does alike when it starts: it reads the
// environment ([Env]), loads the AWS configuration ([AWS]) and keeps the secret
// ([Secrets]).
//
// A main reads its configuration through an Env, which collects every error, so
// that one failed start names all of them:
//
//	env := boot.NewEnv(os.Getenv)
//	cfg := config{
//		table: env.Required("TABLE_NAME"),
//		lease: env.Seconds("LEASE_SECONDS", 60, 3600),
//	}
//	if err := env.Err(); err != nil { … }
package boot
