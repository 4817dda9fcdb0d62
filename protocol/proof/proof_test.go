package proof_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/internal/fixture"
	"github.com/strataos/strataos/protocol/proof"
)

const event = `{"type":"order.created","payload":{"amount":1000},"metadata":{"salt":"x"}}`

// attested is a proof of event among others, the policy that it is checked
// against, and the answer that an API would give.
func attested(t testing.TB) (*proof.Proof, *proof.Policy, []byte) {
	t.Helper()
	w := fixture.New(t, 4)
	log := w.Log(1)
	log.Append(fixture.Start, fixture.Event(t, `{"type":"a","payload":{}}`))
	log.Append(fixture.Start+5, fixture.Event(t, event), fixture.Event(t, `{"type":"b","payload":{}}`))
	log.Append(fixture.Start+9, fixture.Event(t, `{"type":"c","payload":{}}`))
	cp := proof.NewCheckpoint(w.Committee, log.Certify(t, fixture.Start.Seconds(), 0, 1, 3))
	const index = 3
	path, err := log.Tree.Inclusion(index)
	if err != nil {
		t.Fatal(err)
	}
	entry := protocol.Entry{Kind: protocol.KindAttest, Hash: fixture.Event(t, event).Hash, Time: fixture.Start + 5}
	p := cp.Prove(entry, index, path)
	policy, err := proof.ParsePolicy([]byte(proof.EpochPolicyText(w.Committee)))
	if err != nil {
		t.Fatal(err)
	}
	answer := []byte(`{"timestamp":1700000000000,"hash":"` + entry.Hash.String() + `","quorum":"3/3","latency_ms":1.5,"proof":`)
	return p, policy, append(p.AppendJSON(answer), '}')
}

func verify(policy *proof.Policy, answer, event []byte) (*proof.Report, error) {
	p, claims, err := proof.ParseAnswer(answer)
	if err != nil {
		return nil, err
	}
	claims.Event = event
	return proof.Verify(policy, p, claims)
}

func TestVerify(t *testing.T) {
	p, policy, answer := attested(t)
	r, err := verify(policy, answer, []byte(event))
	if err != nil {
		t.Fatal(err)
	}
	if r.Index != 3 || r.Size != 7 || r.Quorum != "3/3" || r.Timestamp != 1700000000000 ||
		r.WitnessedAt != 1700000000 || !r.TimestampVouched || r.Origin != "strata.example/test/node-2" {
		t.Errorf("%+v", r)
	}
	plain, err := json.Marshal(p)
	if err != nil || string(plain) != string(p.AppendJSON(nil)) {
		t.Errorf("AppendJSON writes\n%s, json.Marshal\n%s (%v)", p.AppendJSON(nil), plain, err)
	}
	if _, err := verify(policy, plain, nil); err != nil {
		t.Errorf("a bare proof: %v", err)
	}
}

// TestEveryByte changes every byte of an answer's meaningful parts and of the
// event, one at a time: none may pass.
func TestEveryByte(t *testing.T) {
	p, policy, answer := attested(t)
	for i := range event {
		for _, b := range []byte{event[i] ^ 1, event[i] ^ 0x20, event[i] ^ 0x80} {
			changed := []byte(event)
			changed[i] = b
			if r, err := verify(policy, answer, changed); err == nil {
				t.Errorf("event changed to %s is accepted: %+v", changed, r)
			}
		}
	}
	for i := range p.TLogProof {
		for _, x := range []byte{1, 2, 4, 0x20, 0x80} {
			bad := *p
			text := []byte(p.TLogProof)
			text[i] ^= x
			bad.TLogProof = string(text)
			if _, err := proof.Verify(policy, &bad, proof.Claims{}); err == nil {
				t.Errorf("byte %d of the tlog-proof (%q) changed to %q is accepted", i, p.TLogProof[i], text[i])
			}
		}
	}
	for i := range p.Entry {
		bad := *p
		bad.Entry = append([]byte(nil), p.Entry...)
		bad.Entry[i] ^= 1
		if _, err := proof.Verify(policy, &bad, proof.Claims{}); err == nil {
			t.Errorf("byte %d of the entry (%q) changed is accepted", i, p.Entry[i])
		}
	}
	// Beyond them, only the answer's own latency and how many were asked for are
	// free.
	latency, asked := strings.Index(string(answer), `1.5,"proof"`), strings.Index(string(answer), `/3"`)+1
	for i := range answer {
		if i >= latency && i < latency+3 || i == asked {
			continue
		}
		changed := append([]byte(nil), answer...)
		changed[i] ^= 1
		if _, err := verify(policy, changed, []byte(event)); err == nil {
			t.Errorf("byte %d of the answer changed is accepted: %s", i, changed[max(0, i-30):i+1])
		}
	}
}

// TestAnswersAreReadExactly demands that nobody can read another value in an
// answer than the one that was checked.
func TestAnswersAreReadExactly(t *testing.T) {
	p, policy, answer := attested(t)
	hash := fixture.Event(t, event).Hash.String()
	with := func(more string) []byte { return []byte(`{"proof":` + string(p.AppendJSON(nil)) + more + `}`) }
	nested := func(old, new string) []byte { return []byte(strings.Replace(string(answer), old, new, 1)) }
	for name, c := range map[string]struct {
		text []byte
		want string // step, or field of a refusal; "" accepts
	}{
		"as it came":          {answer, ""},
		"with the event":      {with(`,"event":` + event), ""},
		"all of verify":       {with(`,"valid":true,"status":"certified","count":1,"quorum":"3/3","witnessed_at":1700000000,"timestamp_vouched":true`), ""},
		"of the ledger":       {with(`,"causal_token":"x","position":1,"kind":"attest","author":"node-2","index":3,"retention":"permanent","ledger_status":"ordered","erased":false`), ""},
		"another kind":        {with(`,"kind":"anchor.event"`), "entry"},
		"an anchor's type":    {with(`,"anchor_type":"event"`), "entry"},
		"another author":      {with(`,"author":"node-1"`), "entry"},
		"another leaf":        {with(`,"index":4`), "entry"},
		"another retention":   {with(`,"retention":5`), "entry"},
		"no retention":        {with(`,"retention":0`), "retention"},
		"an end":              {with(`,"expires_at":1`), "entry"},
		"another type":        {with(`,"type":"x","payload":` + event), "event"},
		"the event's type":    {with(`,"type":"order.created","payload":` + event), ""},
		"a key":               {with(`,"key":"x","payload":` + event), "event"},
		"two events":          {with(`,"event":` + event + `,"payload":` + event), "payload"},
		"another case":        {with(`,"hash":"0xbad","HASH":"` + hash + `"`), `"HASH"`},
		"a false hash":        {with(`,"hash":"0xbad"`), "hash"},
		"an empty hash":       {with(`,"hash":""`), "hash"},
		"no hash":             {with(`,"hash":null`), "hash"},
		"time 0":              {with(`,"timestamp":0`), "entry"},
		"time as a text":      {with(`,"timestamp":"1700000000000"`), "timestamp"},
		"half a millisecond":  {with(`,"timestamp":1700000000000.5`), "timestamp"},
		"more cosignatures":   {with(`,"quorum":"4/3"`), "quorum"},
		"fewer":               {with(`,"quorum":"2/3"`), "quorum"},
		"an empty quorum":     {with(`,"quorum":""`), "quorum"},
		"half a quorum":       {with(`,"quorum":"3"`), "quorum"},
		"more were asked for": {with(`,"quorum":"3/4"`), ""},
		"another median":      {with(`,"witnessed_at":1700000001`), "time"},
		"vouched for":         {with(`,"timestamp_vouched":false`), "time"},
		"a stranger":          {with(`,"remark":"x"`), `"remark"`},
		"a vote of nothing":   {with(`,"vote":"accept"`), "entry"},
		"a proposal":          {with(`,"id":"` + hash + `"`), "entry"},
		"a list":              {[]byte(`[]`), "proof"},
		"no proof":            {[]byte(`{"proof":[]}`), "proof"},
		"text twice":          {nested(`"tlog_proof":`, `"tlog_proof":"x","TLOG_PROOF":`), `proof."TLOG_PROOF"`},
		"a false number":      {nested(`"index":3`, `"index":"3"`), "proof.index"},
		"a negative number":   {nested(`"size":7`, `"size":-7`), "proof.size"},
		"a witness's case":    {nested(`"name":`, `"Name":"x","name":`), `proof.witnesses[0]."Name"`},
		"no witness":          {nested(`"witnesses":[`, `"witnesses":[1,`), "proof.witnesses[0]"},
	} {
		q, claims, err := proof.ParseAnswer(c.text)
		if err == nil {
			_, err = proof.Verify(policy, q, claims)
		}
		var failed *proof.StepError
		var field *protocol.FieldError
		got := ""
		switch {
		case errors.As(err, &failed):
			got = string(failed.Step)
		case errors.As(err, &field):
			got = field.Field
		case err != nil:
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "Go ") {
			t.Errorf("%s: %v speaks of Go", name, err)
		}
	}
}

func TestSteps(t *testing.T) {
	p, policy, _ := attested(t)
	note := strings.Index(p.TLogProof, "strata.example/test/node-2\n")
	sigs := strings.Index(p.TLogProof, "— ")
	lines := strings.SplitAfter(p.TLogProof[sigs:], "\n")[:3]
	replace := func(old, new string) func(*proof.Proof) {
		return func(p *proof.Proof) { p.TLogProof = strings.Replace(p.TLogProof, old, new, 1) }
	}
	hash := base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n"
	for _, c := range []struct {
		name   string
		step   proof.Step
		change func(*proof.Proof)
		claims proof.Claims
	}{
		{"not a proof", proof.StepFormat, func(p *proof.Proof) { p.TLogProof = "hello" }, proof.Claims{}},
		{"another version", proof.StepFormat, replace("@v1", "@v2"), proof.Claims{}},
		{"too long", proof.StepFormat, func(p *proof.Proof) { p.TLogProof += strings.Repeat("x", proof.MaxProofBytes) }, proof.Claims{}},
		{"index beside it", proof.StepFormat, func(p *proof.Proof) { p.Index = 1 }, proof.Claims{}},
		{"index not canonical", proof.StepFormat, replace("index 3", "index 03"), proof.Claims{}},
		{"not an event", proof.StepEvent, nil, proof.Claims{Event: []byte(`{"type":1}`)}},
		{"another event", proof.StepHash, nil, proof.Claims{Event: []byte(`{"type":"a","payload":{}}`)}},
		{"another hash", proof.StepHash, nil, proof.Claims{Hash: "0x00"}},
		{"another time", proof.StepEntry, nil, proof.Claims{Timestamp: 1}},
		{"no entry", proof.StepEntry, func(p *proof.Proof) { p.Entry = []byte(`{}`) }, proof.Claims{}},
		{"a header for an entry", proof.StepEntry, func(p *proof.Proof) { p.Entry = protocol.Header{}.Append(nil) }, proof.Claims{}},
		{"path with a hash more", proof.StepInclusion, func(p *proof.Proof) { p.TLogProof = p.TLogProof[:note-1] + hash + p.TLogProof[note-1:] }, proof.Claims{}},
		{"another leaf", proof.StepInclusion, func(p *proof.Proof) {
			p.Index = 4
			p.TLogProof = strings.Replace(p.TLogProof, "index 3", "index 4", 1)
		}, proof.Claims{}},
		{"a leaf behind the tree", proof.StepInclusion, func(p *proof.Proof) {
			p.Index = 7
			p.TLogProof = strings.Replace(p.TLogProof, "index 3", "index 7", 1)
		}, proof.Claims{}},
		{"another origin beside it", proof.StepCheckpoint, func(p *proof.Proof) { p.Origin = "x" }, proof.Claims{}},
		{"another size beside it", proof.StepCheckpoint, func(p *proof.Proof) { p.Size = 8 }, proof.Claims{}},
		{"a smaller tree", proof.StepCheckpoint, replace("node-2\n7\n", "node-2\n6\n"), proof.Claims{}},
		{"a log unknown to the policy", proof.StepCheckpoint, func(p *proof.Proof) {
			p.Origin = "strata.example/test/node-9"
			p.TLogProof = strings.Replace(p.TLogProof, "test/node-2\n", "test/node-9\n", 1)
		}, proof.Claims{}},
		{"a signature twice", proof.StepCheckpoint, func(p *proof.Proof) {
			p.TLogProof += lines[0]
			p.Witnesses = append(p.Witnesses[:3:3], p.Witnesses[0])
		}, proof.Claims{}},
		{"a signature of a stranger", proof.StepCheckpoint, replace("— strata.example/test/node-1 ", "— strata.example/test/node-3 "), proof.Claims{}},
		{"witness time", proof.StepCheckpoint, func(p *proof.Proof) {
			p.Witnesses = append([]proof.Witness{{Name: "node-1", Time: 1}}, p.Witnesses[1:]...)
		}, proof.Claims{}},
		{"the author's signature missing", proof.StepCheckpoint, func(p *proof.Proof) {
			p.TLogProof = strings.Replace(p.TLogProof, lines[1], "", 1)
			p.Witnesses = []proof.Witness{p.Witnesses[0], p.Witnesses[2]}
		}, proof.Claims{}},
		{"two of four", proof.StepQuorum, func(p *proof.Proof) {
			p.TLogProof = strings.Replace(p.TLogProof, lines[0], "", 1)
			p.Witnesses = p.Witnesses[1:]
		}, proof.Claims{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := *p
			if c.change != nil {
				c.change(&bad)
			}
			r, err := proof.Verify(policy, &bad, c.claims)
			var failed *proof.StepError
			if !errors.As(err, &failed) || failed.Step != c.step {
				t.Errorf("%+v, %v; want step %s", r, err, c.step)
			}
		})
	}
}

func TestStrictTime(t *testing.T) {
	w := fixture.New(t, 4)
	_, policy, _ := attested(t)
	for _, c := range []struct {
		off     int64
		vouched bool
	}{{0, true}, {2, true}, {-2, true}, {3, false}, {-3, false}, {-90_000, false}} {
		log := w.Log(0)
		e := fixture.Event(t, event)
		log.Append(fixture.Start, e)
		cp := proof.NewCheckpoint(w.Committee, log.Certify(t, uint64(int64(fixture.Start.Seconds())+c.off), 0, 1, 2))
		path, err := log.Tree.Inclusion(1)
		if err != nil {
			t.Fatal(err)
		}
		p := cp.Prove(protocol.Entry{Kind: protocol.KindAttest, Hash: e.Hash, Time: fixture.Start}, 1, path)
		r, err := proof.Verify(policy, p, proof.Claims{})
		if err != nil || r.TimestampVouched != c.vouched {
			t.Errorf("%+d s: %+v, %v", c.off, r, err)
		}
		_, err = proof.Verify(policy, p, proof.Claims{StrictTime: true})
		if (err == nil) != c.vouched {
			t.Errorf("%+d s, strictly: %v", c.off, err)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		times []uint64
		want  uint64
	}{{nil, 0}, {[]uint64{5}, 5}, {[]uint64{9, 1}, 1}, {[]uint64{9, 1, 4}, 4}, {[]uint64{9, 1, 4, 5}, 4}} {
		var ws []proof.Witness
		for _, x := range c.times {
			ws = append(ws, proof.Witness{Time: x})
		}
		if got := proof.Median(ws); got != c.want {
			t.Errorf("median of %v is %d, want %d", c.times, got, c.want)
		}
	}
}

func TestPolicyRefused(t *testing.T) {
	good := proof.EpochPolicyText(fixture.New(t, 4).Committee)
	for name, text := range map[string]string{
		"empty":           "",
		"no quorum":       good[:strings.LastIndex(good, "quorum ")],
		"no logs":         good[strings.Index(good, "witness "):],
		"quorum none":     strings.Replace(good, "\nquorum epoch_0", "\nquorum none", 1),
		"unknown member":  strings.Replace(good, "epoch_0 3 node-1", "epoch_0 3 node-9", 1),
		"another key":     strings.Replace(good, "+B", "+A", 1),
		"word":            good + "hello world\n",
		"too long":        good + strings.Repeat("#", proof.MaxPolicyBytes),
		"log without key": good + "log\n",
		"damaged key":     strings.Replace(good, "log strata.example/test/node-1+", "log strata.example/test/node-1+0", 1),
		"group too big":   strings.Replace(good, "epoch_0 3 ", "epoch_0 5 ", 1),
	} {
		if _, err := proof.ParsePolicy([]byte(text)); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	_, policy, answer := attested(f)
	f.Add(answer)
	f.Add([]byte(`{"proof":{"tlog_proof":"","entry":{}},"event":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, claims, err := proof.ParseAnswer(text)
		if err != nil {
			return
		}
		var failed *proof.StepError
		if _, err := proof.Verify(policy, p, claims); err != nil && !errors.As(err, &failed) {
			t.Errorf("%q: %v is no StepError", text, err)
		}
	})
}

func FuzzTLogProof(f *testing.F) {
	p, policy, _ := attested(f)
	f.Add(p.TLogProof)
	f.Fuzz(func(t *testing.T, text string) {
		changed := *p
		changed.TLogProof = text
		if _, err := proof.Verify(policy, &changed, proof.Claims{}); err == nil && text != p.TLogProof {
			t.Errorf("%q is accepted", text)
		}
	})
}

func FuzzParsePolicy(f *testing.F) {
	f.Add(proof.EpochPolicyText(fixture.New(f, 4).Committee))
	e, _ := threeEpochs(f)
	f.Add(proof.PolicyText(e))
	p, _, _ := attested(f)
	f.Fuzz(func(t *testing.T, text string) {
		if policy, err := proof.ParsePolicy([]byte(text)); err == nil {
			_, _ = proof.Verify(policy, p, proof.Claims{})
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	p, policy, _ := attested(b)
	for b.Loop() {
		if _, err := proof.Verify(policy, p, proof.Claims{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	p, _, _ := attested(b)
	var buf []byte
	for b.Loop() {
		buf = p.AppendJSON(buf[:0])
	}
}
