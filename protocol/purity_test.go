package protocol_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// impure are packages that would let a machine see a clock, a socket, a disk,
// another goroutine or chance. Their absence is what makes a run a function of
// its inputs. It may start no goroutine and wait for none either, so that what
// looks for races need not look here.
var impure = []string{
	"time", "os", "net", "sync", "context", "runtime", "syscall", "log", "unsafe", "math/rand", "crypto/rand", "testing",
	"github.com/libp2p", "github.com/asynkron", "github.com/ipfs", "github.com/cockroachdb",
	"github.com/strataos/strataos/actors", "github.com/strataos/strataos/p2p",
	"github.com/strataos/strataos/node", "github.com/strataos/strataos/simulation", "github.com/strataos/strataos/cmd",
}

func TestProtocolIsPure(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() == "fixture" {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			for _, bad := range impure {
				// Generators of math/rand/v2 with a seed of their own are pure.
				if (name == bad || strings.HasPrefix(name, bad+"/")) && name != "math/rand/v2" {
					t.Errorf("%s imports %s", path, name)
				}
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n.(type) {
			case *ast.GoStmt, *ast.ChanType, *ast.SelectStmt:
				t.Errorf("%s has goroutines, or channels to them", path)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
