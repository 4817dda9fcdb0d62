package accord

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/strataos/strataos/protocol"
	"github.com/strataos/strataos/protocol/internal/fixture"
	"github.com/strataos/strataos/protocol/jcs"
	"github.com/strataos/strataos/protocol/machine"
	"github.com/strataos/strataos/protocol/quorum"
	"github.com/strataos/strataos/protocol/wire"
)

// keeper feeds a Book the batches of a ledger, as the chronos machine does, and
// says in words what it makes of them.
type keeper struct {
	t         *testing.T
	committee *quorum.Committee
	book      *Book
	store     *MemoryStorage
	seq       uint64
	sizes     map[protocol.MemberID]uint64
	at        uint64 // the ledger's size
	// names are those of the proposals in a script, and bodies what they say.
	names  map[protocol.Hash]string
	ids    map[string]protocol.Hash
	bodies map[string][]byte
	told   []string
	// decided are the bodies of all decisions, by position, and marks the votes'.
	decided map[uint64]string
	marks   []string
}

func newKeeper(t *testing.T, n int) *keeper {
	t.Helper()
	k := &keeper{
		t: t, committee: fixture.New(t, n).Committee, store: &MemoryStorage{}, sizes: map[protocol.MemberID]uint64{},
		names: map[protocol.Hash]string{}, ids: map[string]protocol.Hash{}, bodies: map[string][]byte{}, decided: map[uint64]string{},
	}
	k.open(State{})
	return k
}

// open has a new Book go on from what is stored.
func (k *keeper) open(st State) {
	k.t.Helper()
	var err error
	if k.book, err = NewBook(k.store, st, k.committee); err != nil {
		k.t.Fatal(err)
	}
}

// batch is a batch that somebody certified.
func (k *keeper) batch(author protocol.MemberID, t protocol.Micros, items ...wire.Item) protocol.Extension {
	b := &wire.Batch{Author: author, Old: k.sizes[author], Time: t, Items: items}
	k.sizes[author] = b.Size()
	return b.Extension()
}

// extend has the Book take a batch, and what it says of it stored.
func (k *keeper) extend(e protocol.Extension) []protocol.Extension {
	k.t.Helper()
	out, err := k.book.Extend(e, k.committee.Name(e.Log), k.at)
	if err != nil {
		k.t.Fatal(err)
	}
	position := k.at
	for _, x := range out {
		if x.Log == protocol.Accord && x.Old != k.sizes[x.Log] || x.Size != x.Old+1+uint64(len(x.Entries)) {
			k.t.Errorf("a batch of the log of decisions begins at %d, behind %d, and ends at %d", x.Old, k.sizes[x.Log], x.Size)
		}
		k.sizes[x.Log] = x.Size
		position += uint64(len(x.Entries))
	}
	records, _ := k.book.Take()
	k.note(out, records)
	k.at = position
	k.seq++
	k.book.Written(k.seq)
	k.apply(records)
	k.book.Durable(k.seq)
	return out
}

func (k *keeper) apply(records []machine.Record) {
	for _, r := range records {
		if _, decisions := r.(PutDecisions); !k.store.Apply(r) && !decisions {
			k.t.Errorf("%T is not stored", r)
		}
	}
}

// note says what a batch has led to.
func (k *keeper) note(out []protocol.Extension, records []machine.Record) {
	k.t.Helper()
	var bodies [][]byte
	for _, r := range records {
		switch r := r.(type) {
		case PutDecisions:
			b, err := wire.DecodeBatch(r.Encoded, wire.MaxMessage(protocol.DefaultParams()))
			if err != nil {
				k.t.Fatal(err)
			}
			if b.Author != protocol.Accord || b.Old != r.Old || len(r.Entries) != len(b.Items) {
				k.t.Errorf("decisions at %d are stored as those of %d at %d", r.Old, b.Author, b.Old)
			}
			for i := range b.Items {
				if b.Items[i].Entry(b.Time) != r.Entries[i] {
					k.t.Errorf("entry %d of the decisions at %d is not its body's", i, r.Old)
				}
				bodies = append(bodies, b.Items[i].Body)
			}
		case PutVote:
			k.marks = append(k.marks, fmt.Sprintf("%s %s %s", r.Ballot.Member, k.names[r.Proposal], r.Mark))
		}
	}
	at := k.at
	for _, e := range out {
		for range e.Entries {
			if e.Log == protocol.Accord {
				k.decided[at] = string(bodies[0])
				k.told = append(k.told, k.tell(at, bodies[0]))
				bodies = bodies[1:]
			}
			at++
		}
	}
	if len(bodies) > 0 {
		k.t.Errorf("%d decisions have no place", len(bodies))
	}
}

// tell puts a decision into words.
func (k *keeper) tell(at uint64, body []byte) string {
	k.t.Helper()
	if jcs.Valid(body) != nil {
		k.t.Errorf("%s is not canonical", body)
	}
	var d struct {
		ID, Winner              *protocol.Hash
		Status, Subject, Reason string
		Version, Position       *uint64
		Votes                   []struct{ Member, Vote string }
	}
	if err := json.Unmarshal(body, &d); err != nil {
		k.t.Fatal(err)
	}
	words := []string{fmt.Sprintf("%d: %s of %d is %s", at, k.names[*d.ID], *d.Position, d.Status)}
	if d.Subject != "" {
		words = append(words, fmt.Sprintf("%s has version %d", d.Subject, *d.Version))
	}
	if d.Winner != nil {
		words = append(words, k.names[*d.Winner]+" won")
	}
	if d.Reason != "" {
		words = append(words, d.Reason)
	}
	for _, v := range d.Votes {
		words = append(words, v.Member+" "+v.Vote)
	}
	return strings.Join(words, ", ")
}

// play takes a script: a batch in a line, written "12 node-1: accept a; withdraw b",
// with its time in milliseconds. "know a" makes a proposal that is not in the ledger
// yet.
func (k *keeper) play(script string) {
	k.t.Helper()
	for line := range strings.Lines(script) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if name, ok := strings.CutPrefix(line, "know "); ok {
			k.propose(name, "node-1", nil)
			continue
		}
		head, what, _ := strings.Cut(line, ":")
		var at int64
		var author protocol.MemberID
		if _, err := fmt.Sscanf(head, "%d node-%d", &at, &author); err != nil {
			k.t.Fatalf("%s: %v", line, err)
		}
		var items []wire.Item
		for _, part := range strings.Split(what, ";") {
			if part = strings.TrimSpace(part); part != "" {
				items = append(items, k.item(part, fmt.Sprintf("node-%d", author)))
			}
		}
		k.extend(k.batch(author-1, fixture.Start+protocol.Micros(at)*protocol.Millisecond, items...))
	}
}

// item is an entry of a script: an event, or "propose a", "accept a", "reject a",
// "withdraw a", "done a".
func (k *keeper) item(text, author string) wire.Item {
	words := strings.Fields(text)
	if len(words) == 1 {
		return wire.Item{Kind: protocol.KindAttest, Body: []byte(`{"payload":{},"type":"a.b"}`)}
	}
	name := words[1]
	if words[0] == "propose" {
		return wire.Item{Kind: protocol.KindPropose, Body: k.propose(name, author, words[2:])}
	}
	id := k.ids[name]
	switch words[0] {
	case "accept", "reject":
		return wire.Item{Kind: protocol.KindVote, Body: protocol.Vote{Proposal: id, Accept: words[0] == "accept"}.Append(nil)}
	case "withdraw":
		return wire.Item{Kind: protocol.KindWithdraw, Body: protocol.Withdrawal{Proposal: id}.Append(nil)}
	case "done", "failed":
		return wire.Item{Kind: protocol.KindReport, Body: protocol.Report{Proposal: id, Failed: words[0] == "failed"}.Append(nil)}
	}
	k.t.Fatalf("%s: what is that?", text)
	return wire.Item{}
}

// propose is the body of a proposal of a name, always the same one. The words are
// pairs: "on" a subject, "at" its version, "by" a deadline in ms, "need" a
// threshold, "of" participants such as 1,2,3, "as" another proposer.
func (k *keeper) propose(name, author string, words []string) []byte {
	k.t.Helper()
	if body, ok := k.bodies[name]; ok {
		return body
	}
	say := map[string]string{"by": "1000", "need": "2", "of": "1,2,3", "as": author}
	for i := 0; i+1 < len(words); i += 2 {
		say[words[i]] = words[i+1]
	}
	by, err := strconv.ParseInt(say["by"], 10, 64)
	if err != nil {
		k.t.Fatal(err)
	}
	fields := map[string]any{
		"action": map[string]any{"type": "test." + name, "payload": map[string]any{}}, "proposer": say["as"], "nonce": "1",
		"threshold": json.Number(say["need"]), "deadline": fixture.Start.Millis() + by,
	}
	var participants []string
	for _, digit := range strings.Split(say["of"], ",") {
		participants = append(participants, "node-"+digit)
	}
	fields["participants"] = participants
	if on := say["on"]; on != "" {
		fields["subject"] = on
	}
	if version := say["at"]; version != "" {
		fields["expected_version"] = json.Number(version)
	}
	text, err := json.Marshal(fields)
	if err != nil {
		k.t.Fatal(err)
	}
	p, err := protocol.ParseProposal(text, 1<<16)
	if err != nil {
		k.t.Fatal(err)
	}
	k.names[p.ID], k.ids[name], k.bodies[name] = name, p.ID, p.Canonical
	return p.Canonical
}

// TestBook plays scripts, and reads what they lead to.
func TestBook(t *testing.T) {
	for _, c := range []struct {
		name, script string
		decisions    []string
		marks        []string
	}{
		{
			"threshold accepts", `
			1 node-1: propose a
			2 node-1: accept a
			3 node-2: event; accept a; event`,
			[]string{"5: a of 0 is accepted, node-1 accept, node-2 accept"},
			[]string{"node-1 a counted", "node-2 a counted"},
		}, {
			"out of reach", `
			1 node-1: propose a
			2 node-1: reject a
			3 node-2: reject a
			4 node-3: accept a`,
			[]string{"3: a of 0 is rejected, node-1 reject, node-2 reject"},
			[]string{"node-1 a counted", "node-2 a counted", "node-3 a late"},
		}, {
			"in reach still", `
			1 node-1: propose a
			2 node-1: reject a
			3 node-2: accept a
			4 node-3: accept a`,
			[]string{"4: a of 0 is accepted, node-1 reject, node-2 accept, node-3 accept"}, nil,
		}, {
			"all must accept", `
			1 node-1: propose a need 3
			2 node-1: accept a
			3 node-2: accept a
			4 node-3: reject a`,
			[]string{"4: a of 0 is rejected, node-1 accept, node-2 accept, node-3 reject"}, nil,
		}, {
			"one suffices", `
			1 node-1: propose a need 1
			2 node-1: reject a
			3 node-2: reject a
			4 node-3: reject a`,
			[]string{"4: a of 0 is rejected, node-1 reject, node-2 reject, node-3 reject"}, nil,
		}, {
			"a vote counts once, the first", `
			1 node-1: propose a
			2 node-2: reject a; accept a
			3 node-2: accept a
			4 node-1: accept a
			5 node-3: accept a`,
			[]string{"6: a of 0 is accepted, node-2 reject, node-1 accept, node-3 accept"},
			[]string{"node-2 a counted", "node-2 a double", "node-2 a double", "node-1 a counted", "node-3 a counted"},
		}, {
			"somebody else's vote", `
			1 node-1: propose a of 1,2
			2 node-3: accept a
			3 node-1: accept a; accept a
			4 node-3: accept a
			5 node-2: accept a`,
			[]string{"6: a of 0 is accepted, node-1 accept, node-2 accept"},
			[]string{"node-3 a outsider", "node-1 a counted", "node-1 a double", "node-3 a outsider", "node-2 a counted"},
		}, {
			"a vote before the proposal", `
			know b
			1 node-1: event
			2 node-2: accept b
			3 node-1: propose b
			4 node-2: accept b
			5 node-3: accept b`,
			[]string{"5: b of 2 is accepted, node-2 accept, node-3 accept"},
			[]string{"node-2 b early", "node-2 b counted", "node-3 b counted"},
		}, {
			"both in a batch", `
			1 node-1: propose a need 1; accept a; propose b need 1; reject b; accept b`,
			[]string{"5: a of 0 is accepted, node-1 accept"},
			[]string{"node-1 a counted", "node-1 b counted", "node-1 b double"},
		}, {
			"the ledger's time ends it, and no earlier", `
			1 node-1: propose a by 10
			10 node-1: accept a
			9 node-2: event
			11 node-2: accept a`,
			[]string{"3: a of 0 is expired, node-1 accept"},
			[]string{"node-1 a counted", "node-2 a late"},
		}, {
			"at the deadline it is open", `
			1 node-1: propose a by 10
			2 node-1: accept a
			10 node-2: accept a`,
			[]string{"3: a of 0 is accepted, node-1 accept, node-2 accept"}, nil,
		}, {
			"an empty batch has a time too", `
			1 node-1: propose a by 10
			30 node-2:`,
			[]string{"1: a of 0 is expired"}, nil,
		}, {
			"the earliest deadline first, then the earliest place", `
			1 node-1: propose a by 20; propose b by 10; propose c by 20; propose d by 40
			30 node-2: event`,
			[]string{"4: b of 1 is expired", "5: a of 0 is expired", "6: c of 2 is expired"}, nil,
		}, {
			"too late from the beginning", `
			30 node-2: event
			5 node-1: propose a by 10`,
			[]string{"2: a of 1 is expired"}, nil,
		}, {
			"taken back", `
			1 node-1: propose a
			2 node-2: withdraw a
			3 node-1: withdraw a; accept a
			4 node-1: withdraw a`,
			[]string{"4: a of 0 is withdrawn"}, []string{"node-1 a late"},
		}, {
			"taken back too late", `
			1 node-1: propose a need 1; accept a; withdraw a`,
			[]string{"3: a of 0 is accepted, node-1 accept"}, nil,
		}, {
			"in another's name", `
			1 node-2: propose a as node-1
			2 node-1: accept a
			3 node-2: accept a
			4 node-1: propose a
			5 node-3: accept a`,
			nil, []string{"node-1 a early", "node-2 a early", "node-3 a counted"},
		}, {
			"a second time", `
			1 node-1: propose a need 1
			2 node-2: accept a
			3 node-1: propose a
			4 node-1: accept a`,
			[]string{"2: a of 0 is accepted, node-2 accept"}, []string{"node-2 a counted", "node-1 a late"},
		}, {
			"a second time while it is open", `
			1 node-1: propose a on s; propose a
			2 node-2: accept a
			3 node-3: accept a`,
			[]string{"4: a of 0 is accepted, s has version 1, node-2 accept, node-3 accept"}, nil,
		}, {
			"one at a time on a subject", `
			1 node-1: propose a on s need 1
			2 node-2: propose b on s; propose c on other need 1
			3 node-3: accept a; accept c; propose d on s need 1; accept d`,
			[]string{
				"3: b of 1 is conflict, s has version 0, a won, another proposal on the subject is open",
				"8: a of 0 is accepted, s has version 1, node-3 accept",
				"9: c of 2 is accepted, other has version 1, node-3 accept",
				"10: d of 6 is accepted, s has version 2, node-3 accept",
			}, nil,
		}, {
			"compare and set", `
			1 node-1: propose a on s at 0 need 1; accept a
			2 node-1: propose b on s at 0 need 1
			3 node-1: propose c on s at 1 need 1; accept c
			4 node-1: propose d on s at 3 need 1
			5 node-1: propose e on s need 1; accept e`,
			[]string{
				"2: a of 0 is accepted, s has version 1, node-1 accept",
				"4: b of 3 is conflict, s has version 1, a won, the subject has another version",
				"7: c of 5 is accepted, s has version 2, node-1 accept",
				"9: d of 8 is conflict, s has version 2, c won, the subject has another version",
				"12: e of 10 is accepted, s has version 3, node-1 accept",
			}, nil,
		}, {
			"a version that nobody has set", `
			1 node-1: propose a on s at 1`,
			[]string{"1: a of 0 is conflict, s has version 0, the subject has another version"}, nil,
		}, {
			"only what is accepted makes a version", `
			1 node-1: propose a on s of 1,2 need 2; reject a
			2 node-2: propose b on s at 0 by 5
			9 node-2: propose c on s at 0; withdraw c; propose d on s at 0 need 1; accept d`,
			[]string{
				"2: a of 0 is rejected, s has version 0, node-1 reject",
				"4: b of 3 is expired, s has version 0",
				"9: c of 5 is withdrawn, s has version 0",
				"10: d of 7 is accepted, s has version 1, node-2 accept",
			}, nil,
		}, {
			"who is no member", `
			1 node-1: propose a of 1,2,5
			2 node-1: accept a`,
			[]string{"1: a of 0 is rejected, node-5 is not a member"}, []string{"node-1 a late"},
		}, {
			"reports", `
			1 node-1: propose a need 1 of 1,2; done a; accept a; done a
			2 node-2: failed a; failed a
			3 node-3: done a`,
			[]string{"4: a of 0 is accepted, node-1 accept"}, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKeeper(t, 4)
			k.play(c.script)
			if got, want := strings.Join(k.told, "\n"), strings.Join(c.decisions, "\n"); got != want {
				t.Errorf("decisions:\n%s\nwant:\n%s", got, want)
			}
			if got, want := strings.Join(k.marks, "\n"), strings.Join(c.marks, "\n"); c.marks != nil && got != want {
				t.Errorf("votes:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// TestKeeps reads what is kept of proposals beside their decisions: the cases,
// with the votes that count or don't, the subjects, and what came of them.
func TestKeeps(t *testing.T) {
	k := newKeeper(t, 4)
	k.play(`
		1 node-1: propose a on s need 1; propose b; propose c on t by 900
		2 node-2: done b; accept a; failed a; accept b
		3 node-3: reject b
		4 node-4: done a
		5 node-1: done a`)
	a, ok, err := k.store.Case(k.ids["a"])
	if err != nil || !ok || a.Status != Accepted || a.DecidedAt != 7 || a.DecidedOn != fixture.Start+2*protocol.Millisecond || a.Decision.Version != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	if got := k.decided[7]; string(a.Decision.Append(nil)) != got || a.Decision.Hash() != protocol.Hash(sha256.Sum256([]byte(got))) {
		t.Errorf("the case has the decision %s, the ledger %s", a.Decision.Append(nil), got)
	}
	b, _, _ := k.store.Case(k.ids["b"])
	if len(b.Votes) != 2 || b.Status != Open || b.Position != 1 || b.Time != fixture.Start+protocol.Millisecond {
		t.Errorf("%+v", b)
	}
	if s, ok, _ := k.store.Subject("s"); !ok || s != (Subject{Name: "s", Version: 1, Proposal: k.ids["a"], DecidedAt: 7}) {
		t.Errorf("%+v", s)
	}
	if _, ok, _ := k.store.Subject("t"); ok {
		t.Error("a subject that nothing was decided on is kept")
	}
	if open, _ := k.store.OpenCases(); len(open) != 2 || open[0].Proposal.ID != k.ids["b"] || open[1].Proposal.ID != k.ids["c"] {
		t.Errorf("%+v are open", open)
	}
	if k.book.Due() != fixture.Start+900*protocol.Millisecond {
		t.Errorf("due at %d", k.book.Due())
	}
	var said []string
	for _, r := range k.store.Reports(k.ids["a"]) {
		said = append(said, r.Member+" "+r.Report.Status())
	}
	if got := strings.Join(said, ", "); got != "node-2 failed, node-1 done" || len(k.store.Reports(k.ids["b"])) > 0 {
		t.Errorf("reports: %s", got)
	}
}

// TestMaxOpen bounds the proposals of one member that are open, and only those.
func TestMaxOpen(t *testing.T) {
	k := newKeeper(t, 4)
	for i := range MaxOpen {
		k.play(fmt.Sprintf("1 node-1: propose a%d", i))
	}
	k.play(`
		2 node-1: propose more; propose again
		3 node-2: propose other
		4 node-1: withdraw a7; propose then; propose no`)
	const full = "too many proposals of the proposer are open"
	for name, want := range map[string]string{"more": full, "again": full, "other": "", "then": "", "no": full} {
		c, _, _ := k.store.Case(k.ids[name])
		if want == "" && c.Status != Open || want != "" && (c.Status != Rejected || c.Decision.Reason != want) {
			t.Errorf("%s is %s: %s", name, c.Status, c.Decision.Reason)
		}
	}
}

// TestMaxOpenBytes bounds how long the proposals of one member that are open are
// together, but for a single one.
func TestMaxOpenBytes(t *testing.T) {
	k := newKeeper(t, 4)
	sized := func(nonce string, bytes int) protocol.Hash {
		text := fmt.Sprintf(`{"action":{"type":"a.b","payload":{"x":"%s"}},"proposer":"node-1","nonce":"%s","participants":["node-1"],"threshold":1,"deadline":%d}`,
			strings.Repeat("x", bytes), nonce, fixture.Start.Millis()+1000)
		p, err := protocol.ParseProposal([]byte(text), 8<<20)
		if err != nil {
			t.Fatal(err)
		}
		k.ids[nonce], k.names[p.ID] = p.ID, nonce
		k.extend(k.batch(0, fixture.Start, wire.Item{Kind: protocol.KindPropose, Body: p.Canonical}))
		return p.ID
	}
	want := func(id protocol.Hash, status Status) {
		t.Helper()
		if c, _, _ := k.store.Case(id); c.Status != status {
			t.Errorf("%s is %s, want %s", k.names[id], c.Status, status)
		}
	}
	want(sized("huge", MaxOpenBytes), Open)
	want(sized("small", 1), Rejected)
	k.play("1 node-1: withdraw huge")
	want(sized("half", MaxOpenBytes/2), Open)
	want(sized("other half", MaxOpenBytes/2), Rejected)
	want(sized("third", MaxOpenBytes/3), Open)
}

// TestManyDecisions has many proposals end at once: the batches that hold their
// decisions can be read back, whatever the network's parameters are.
func TestManyDecisions(t *testing.T) {
	long := strings.Repeat("x", 58)
	var all []string
	for i := range protocol.MaxMembers {
		all = append(all, fmt.Sprintf("m%03d-%s", i, long))
	}
	k := newKeeper(t, 4)
	k.book.members = all // whom nobody has keys of
	const count = 300
	var ids []protocol.Hash
	var extensions []protocol.Extension
	feed := func(author string, at protocol.Micros, items ...wire.Item) {
		out, err := k.book.Extend(k.batch(0, at, items...), author, k.at)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range out {
			k.at += uint64(len(e.Entries))
		}
		extensions = append(extensions, out...)
	}
	for i := range count {
		text, err := json.Marshal(map[string]any{
			"action": map[string]any{"type": "a.b", "payload": map[string]any{}}, "proposer": all[0], "nonce": strconv.Itoa(1 + i),
			"participants": all, "threshold": len(all), "deadline": fixture.Start.Millis() + 10, "subject": strconv.Itoa(i) + strings.Repeat("s", 250),
		})
		if err != nil {
			t.Fatal(err)
		}
		p, err := protocol.ParseProposal(text, 1<<16)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, p.ID)
		feed(all[0], fixture.Start, wire.Item{Kind: protocol.KindPropose, Body: p.Canonical})
	}
	for _, name := range all[1:] {
		var votes []wire.Item
		for _, id := range ids {
			votes = append(votes, wire.Item{Kind: protocol.KindVote, Body: protocol.Vote{Proposal: id, Accept: true}.Append(nil)})
		}
		feed(name, fixture.Start, votes...)
	}
	k.book.Take()
	extensions = nil
	feed(all[0], fixture.Start+protocol.Second, k.item("event", ""))
	records, _ := k.book.Take()
	least := protocol.Params{MaxFutureMS: 1, MaxBatchEntries: 1, MaxBatchBytes: 1024, MaxEventBytes: 256, CheckpointMS: 10}
	total := uint64(0)
	for _, r := range records {
		if r, ok := r.(PutDecisions); ok {
			if _, err := wire.DecodeBatch(r.Encoded, wire.MaxMessage(least)); err != nil {
				t.Fatalf("%d decisions of %d bytes: %v", len(r.Entries), len(r.Encoded), err)
			}
			total += uint64(len(r.Entries))
		}
	}
	if total != count || k.book.State().Size != total+uint64(len(extensions)-1) {
		t.Errorf("%d decisions in %d batches, and their log has %d leaves", total, len(extensions)-1, k.book.State().Size)
	}
}

// TestAbsurdMember has a member proposed whose fields are as long as a proposal may
// be. What is said against it is short, whatever it repeats of them: the decision is
// a leaf of the ledger that everybody stores.
func TestAbsurdMember(t *testing.T) {
	long := strings.Repeat("\x7f", 60_000)
	good := fixture.New(t, 5).Genesis.Members[4]
	for field, spoil := range map[string]func(*protocol.Member){
		"name":      func(m *protocol.Member) { m.Name = long },
		"peer_id":   func(m *protocol.Member) { m.PeerID = long },
		"addrs":     func(m *protocol.Member) { m.Addrs = []string{long} },
		"url":       func(m *protocol.Member) { m.URL = long },
		"vkey":      func(m *protocol.Member) { m.VKey = long },
		"vkey name": func(m *protocol.Member) { m.VKey = long + m.VKey },
		"line":      func(m *protocol.Member) { m.URL = "https://a.example\nwitness evil" },
	} {
		m := good
		spoil(&m)
		k := newKeeper(t, 4)
		text, err := json.Marshal(map[string]any{
			"action":   map[string]any{"type": protocol.ActionMembershipAdd, "payload": map[string]any{"member": m}},
			"proposer": "node-1", "nonce": "1", "subject": protocol.NetworkSubject, "threshold": 3,
			"participants": k.book.members, "deadline": fixture.Start.Millis() + 1000,
		})
		if err != nil {
			t.Fatal(err)
		}
		p, err := protocol.ParseProposal(text, 64<<10)
		if err != nil {
			t.Fatal(err)
		}
		k.names[p.ID] = field
		k.extend(k.batch(0, fixture.Start, wire.Item{Kind: protocol.KindPropose, Body: p.Canonical}))
		c, _, _ := k.store.Case(p.ID)
		if reason := c.Decision.Reason; c.Status != Rejected || reason == "" || len(reason) > 1000 {
			t.Errorf("%s: %s, for a reason of %d bytes: %.200s", field, c.Status, len(reason), reason)
		}
	}
}
