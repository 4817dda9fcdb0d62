package jcs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	twin "github.com/gowebpki/jcs"
)

// vectors are the golden files: what each text becomes, or why it is refused.
type vector struct{ Name, Input, Canonical, Reason string }

func TestVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		got, err := Append(nil, []byte(v.Input))
		if v.Reason != "" {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Reason != v.Reason {
				t.Errorf("%s: error %v, want %q", v.Name, err, v.Reason)
			}
			if Valid([]byte(v.Input)) == nil {
				t.Errorf("%s: Valid accepts it", v.Name)
			}
			continue
		}
		if err != nil || string(got) != v.Canonical {
			t.Errorf("%s: got %s, %v, want %s", v.Name, got, err, v.Canonical)
		}
		if err := Valid(got); err != nil {
			t.Errorf("%s: its canonical form is not valid: %v", v.Name, err)
		}
		if valid := Valid([]byte(v.Input)) == nil; valid != (v.Input == v.Canonical) {
			t.Errorf("%s: Valid says %v", v.Name, valid)
		}
	}
}

// TestNumbers has the table of RFC 8785, appendix B, and its neighbours.
func TestNumbers(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0", "-0": "0", "-0.0": "0", "0e5": "0", "5e-324": "5e-324", "-5e-324": "-5e-324",
		"1.7976931348623157e308": "1.7976931348623157e+308", "9007199254740992": "9007199254740992",
		"-9007199254740992": "-9007199254740992", "295147905179352830000": "295147905179352830000",
		"9.999999999999997e22": "9.999999999999997e+22", "1e23": "1e+23", "1.0000000000000001e23": "1.0000000000000001e+23",
		"999999999999999700000": "999999999999999700000", "999999999999999900000": "999999999999999900000",
		"1e21": "1e+21", "9.999999999999997e-7": "9.999999999999997e-7", "0.000001": "0.000001",
		"333333333.3333332": "333333333.3333332", "333333333.33333329": "333333333.3333333",
		"-0.0000033333333333333333": "-0.0000033333333333333333", "1424953923781206.2": "1424953923781206.2",
		"1E30": "1e+30", "4.50": "4.5", "2e-3": "0.002", "0.000000000000000000000000001": "1e-27",
		"123456789012345": "123456789012345", "1234567890123456789": "1234567890123456800", "100e-2": "1",
	} {
		if got, err := Append(nil, []byte(in)); err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", in, got, err, want)
		}
	}
}

func TestDepth(t *testing.T) {
	nested := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	for n, ok := range map[int]bool{MaxDepth: true, MaxDepth + 1: true, MaxDepth + 2: false, 100_000: false} {
		if _, err := Append(nil, nested(n)); (err == nil) != ok {
			t.Errorf("Append, %d levels: %v", n, err)
		}
		if err := Valid(nested(n)); (err == nil) != ok {
			t.Errorf("Valid, %d levels: %v", n, err)
		}
		if err := Members(append(append([]byte(`{"a":`), nested(n)...), '}'), func(_, _ []byte) error { return nil }); (err == nil) != (n <= MaxDepth) {
			t.Errorf("Members, %d levels: %v", n, err)
		}
	}
}

func TestMembers(t *testing.T) {
	var got []string
	err := Members([]byte(` { "a" : [1, {"b":2}] ,"\u0062":"x\n" , "c" : null } `), func(k, v []byte) error {
		got = append(got, fmt.Sprintf("%s=%s", k, v))
		return nil
	})
	if want := `a=[1, {"b":2}]|b="x\n"|c=null`; err != nil || strings.Join(got, "|") != want {
		t.Errorf("got %q, %v", got, err)
	}
	for in, reason := range map[string]string{
		`{"a":1,"\u0061":2}`: "the key is given twice", `[]`: "an object is missing", ``: "an object is missing",
		`{"a":1}x`: "there is text behind the value", `{"a":1,}`: "a string is missing", `{"a" 1}`: "a colon is missing behind the key",
		`{"a":[1 2]}`: "a comma or a closing bracket is missing", `{"a":tru}`: "this is not a value", `{`: "a string is missing",
	} {
		var syntax *SyntaxError
		if err := Members([]byte(in), func(_, _ []byte) error { return nil }); !errors.As(err, &syntax) || syntax.Reason != reason {
			t.Errorf("%s: %v, want %q", in, err, reason)
		}
	}
}

func TestUnquote(t *testing.T) {
	if s, err := Unquote([]byte(`"a\ud83d\ude00\/é"`)); err != nil || s != "a😀/é" {
		t.Errorf("%q, %v", s, err)
	}
	for _, in := range []string{`1`, `"a"b`, `"`, `"\ud83d"`} {
		if _, err := Unquote([]byte(in)); err == nil {
			t.Errorf("%s is accepted", in)
		}
	}
}

// TestTwin compares Append with an independent implementation.
func TestTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		doc, err := json.Marshal(randomValue(rng, 4))
		if err != nil {
			t.Fatal(err)
		}
		agree(t, doc)
	}
}

func randomValue(rng *rand.Rand, depth int) any {
	switch n := rng.IntN(8); {
	case n == 0 && depth > 0:
		m := map[string]any{}
		for range rng.IntN(6) {
			m[randomText(rng)] = randomValue(rng, depth-1)
		}
		return m
	case n == 1 && depth > 0:
		l := []any{}
		for range rng.IntN(6) {
			l = append(l, randomValue(rng, depth-1))
		}
		return l
	case n == 2:
		return randomText(rng)
	case n == 3:
		return rng.Int64() >> rng.IntN(60)
	case n == 4:
		return rng.NormFloat64() * float64(rng.Int64())
	case n == 5:
		return rng.IntN(2) == 0
	}
	return nil
}

func randomText(rng *rand.Rand) string {
	var b strings.Builder
	for range rng.IntN(5) {
		b.WriteRune([]rune{'a', 'b', '"', '\\', '\n', 1, 'é', '€', '\ufb33', '😀', 0xe000, 0xffff, '\u2028', '/', '<'}[rng.IntN(15)])
	}
	return b.String()
}

// agree holds Append to what must be true of any text, and to the twin's
// answer. Where this package is the stricter one, only its refusal is checked.
func agree(t *testing.T, doc []byte) {
	t.Helper()
	got, err := Append(nil, doc)
	if err != nil {
		if Valid(doc) == nil {
			t.Fatalf("%q: Append refuses (%v) what Valid accepts", doc, err)
		}
		return
	}
	if !json.Valid(doc) {
		t.Fatalf("%q is accepted, and is no JSON", doc)
	}
	again, err := Append(nil, got)
	if err != nil || !bytes.Equal(again, got) {
		t.Fatalf("%q: its form %s becomes %s, %v", doc, got, again, err)
	}
	if (Valid(doc) == nil) != bytes.Equal(doc, got) {
		t.Fatalf("%q: Valid says %v, Append writes %s", doc, Valid(doc), got)
	}
	// Exact numbers make a difference where one is refused, and none else.
	if exact, err := AppendExact(nil, doc); err == nil && (!bytes.Equal(exact, got) || ValidExact(exact) != nil) {
		t.Fatalf("%q: exactly %s (%v), else %s", doc, exact, ValidExact(exact), got)
	}
	want, err := twin.Transform(doc)
	if err == nil && !bytes.Equal(want, got) {
		t.Fatalf("%q: got %s, the twin writes %s", doc, got, want)
	}
}

func FuzzAppend(f *testing.F) {
	for _, s := range []string{`{"b":1,"a":[1.50,"x",null,true]}`, `"\ud83d\ude00"`, `{"a":1,"a":2}`, `[9007199254740993,1e20]`, `-0`, `[`, `{"\u20ac":1,"\r":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		// The twin accepts scalars and trailing text differently.
		if k := KindOf(doc); k == Object || k == Array {
			agree(t, doc)
		} else if got, err := Append(nil, doc); err == nil && Valid(got) != nil {
			t.Fatalf("%q becomes %s, which is not valid", doc, got)
		}
	})
}

func FuzzMembers(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":{"c":[]}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		err := Members(doc, func(_, v []byte) error {
			if !json.Valid(v) {
				t.Fatalf("%q: %q is no JSON", doc, v)
			}
			return nil
		})
		if err == nil && !json.Valid(doc) {
			t.Fatalf("%q is accepted, and is no JSON", doc)
		}
	})
}

var sample = []byte(`{"metadata":{"source":"shop-7","trace":"9f1c2d3e"},"payload":{"amount":1000,"currency":"EUR","customer":"c-19283","items":[{"sku":"A-1","qty":2},{"sku":"B-7","qty":1}],"note":"` +
	strings.Repeat("x", 90) + `","status":"paid"},"type":"order.created"}`)

func BenchmarkAppend(b *testing.B) {
	canonical, _ := Append(nil, sample)
	unordered := []byte(`{"type":"order.created",` + string(canonical[1:bytes.LastIndexByte(canonical, ',')]) + "}")
	for name, doc := range map[string][]byte{"ordered": canonical, "unordered": unordered} {
		b.Run(name, func(b *testing.B) {
			dst := make([]byte, 0, 1024)
			b.ReportAllocs()
			b.SetBytes(int64(len(doc)))
			for b.Loop() {
				if _, err := Append(dst, doc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkValid(b *testing.B) {
	canonical, _ := Append(nil, sample)
	b.ReportAllocs()
	b.SetBytes(int64(len(canonical)))
	for b.Loop() {
		if err := Valid(canonical); err != nil {
			b.Fatal(err)
		}
	}
}
