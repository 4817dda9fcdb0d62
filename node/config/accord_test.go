package config

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/strataos/strataos/node/deliver"
	"github.com/strataos/strataos/node/policy"
)

func TestAccord(t *testing.T) {
	file := write(t, `
member = "node-1"

[[accord.policies]]
action = "config.*"
proposer = "acme"
vote = "accept"

[[accord.policies]]
action = "payment.**"
vote = "webhook"
webhook = { url = "https://rules.example/vote", secret_file = "rules.secret" }

[[accord.policies]]
action = "lease.*"
vote = "webhook"
[accord.policies.webhook]
url = "http://rules.internal/vote"
secret_file = "/etc/rules.secret"
timeout_ms = 500
retries = 0
silence = "reject"
allow_http = true

[[accord.handlers]]
name = "deploy"
action = "deploy.*"
url = "http://127.0.0.1:9000/run"
secret_file = "deploy.secret"

[[accord.handlers]]
name = "audit"
action = "**"
url = "https://audit.example"
secret_file = "deploy.secret"
timeout_ms = 100
from = "start"
`)
	c, values, err := Load(file, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	dir := filepath.Dir(file)
	rules := []policy.Rule{
		{Action: "config.*", Proposer: "acme", Vote: "accept"},
		{Action: "payment.**", Vote: "webhook", Webhook: &policy.Webhook{
			URL: "https://rules.example/vote", SecretFile: filepath.Join(dir, "rules.secret"), TimeoutMS: 2000, Retries: 2, Silence: "manual",
		}},
		{Action: "lease.*", Vote: "webhook", Webhook: &policy.Webhook{
			URL: "http://rules.internal/vote", SecretFile: "/etc/rules.secret", TimeoutMS: 500, Silence: "reject", AllowHTTP: true,
		}},
	}
	if !reflect.DeepEqual(c.Policies, rules) {
		t.Errorf("policies %+v", c.Policies)
	}
	handlers := []deliver.Handler{
		{Name: "deploy", Action: "deploy.*", URL: "http://127.0.0.1:9000/run", SecretFile: filepath.Join(dir, "deploy.secret"), TimeoutMS: 5000, From: "end"},
		{Name: "audit", Action: "**", URL: "https://audit.example", SecretFile: filepath.Join(dir, "deploy.secret"), TimeoutMS: 100, From: "start"},
	}
	if !reflect.DeepEqual(c.Handlers, handlers) {
		t.Errorf("handlers %+v", c.Handlers)
	}
	shown := values[len(Settings):]
	if len(shown) != 5 || shown[2] != (Value{Key: "accord.policies[2]", Value: "webhook lease.* (http://rules.internal/vote, silence: reject)", Source: Source("file " + file)}) ||
		shown[3].Value != "deploy: deploy.* to http://127.0.0.1:9000/run" {
		t.Errorf("shown as %v", shown)
	}
}

func TestAccordInline(t *testing.T) {
	c, _, err := Load(write(t, "[accord]\npolicies = [{action = \"test.*\", vote = \"accept\"}, {action = \"**\", vote = \"reject\"}]\nhandlers = []"), nil, nil)
	if err != nil || len(c.Policies) != 2 || c.Policies[1].Action != "**" || len(c.Handlers) != 0 {
		t.Errorf("%+v %v", c, err)
	}
}

func TestAccordRefused(t *testing.T) {
	const first = "[[accord.policies]]\naction = \"a\"\nvote = \"accept\"\n"
	for _, c := range []struct{ text, want string }{
		{"[accord]\npolicies = 1", "accord.policies: want a list of tables"},
		{"[accord]\npolicies = [1]", "accord.policies[0]: want a table"},
		{"[accord]\ncolour = 1", "accord.colour is not a setting"},
		{"accord = 1", "accord is not a setting"},
		{first + "colour = 1", "accord.policies[0].colour is not a setting"},
		{first + "[[accord.policies]]\naction = 1", "accord.policies[1].action: want a text"},
		{first + "webhook = \"x\"", "accord.policies[0].webhook: want a table"},
		{first + "[accord.policies.webhook]\ntimeout_ms = \"1\"", "accord.policies[0].webhook.timeout_ms: want a whole number"},
		{first + "[accord.policies.webhook]\nsecret_file = 1", "accord.policies[0].webhook.secret_file: want a text"},
		{first + "[accord.policies.webhook]\nurls = \"x\"", "accord.policies[0].webhook.urls is not a setting"},
		{"[[accord.handlers]]\nallow_http = \"yes\"", "accord.handlers[0].allow_http: want true or false"},
		{"[[accord.handlers]]\nfor = \"x\"", "accord.handlers[0].for is not a setting"},
	} {
		_, _, err := Load(write(t, c.text), nil, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want an error about %s", c.text, err, c.want)
		}
	}
	// What is well-formed and makes no sense is Validate's to refuse.
	for _, c := range []struct{ text, want string }{
		{first + first, "accord.policies[1]: is never reached"},
		{"[[accord.policies]]\naction = \"a\"\nvote = \"webhook\"\n[accord.policies.webhook]\nurl = \"x\"", "accord.policies[0].webhook.url: want a URL"},
		{"[[accord.handlers]]\nname = \"a\"\naction = \"a\"\nurl = \"https://a.example\"\nsecret_file = \"s\"\nfrom = \"now\"", "accord.handlers[0].from: "},
	} {
		cfg, _, err := Load(write(t, "member = \"a\"\n"+c.text), nil, nil)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want an error about %s", c.text, err, c.want)
		}
	}
}
