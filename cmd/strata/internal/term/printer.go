package term

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// defaultWidth is assumed where a terminal does not tell its width.
const defaultWidth = 80

// IsTerminal reports whether f is a terminal.
func IsTerminal(f *os.File) bool { return f != nil && term.IsTerminal(int(f.Fd())) }

// Printer writes to a terminal, a file or a pipe. Its styles colour a text
// only on a terminal that wants colours. It adds no locking to its writer.
type Printer struct {
	w        io.Writer
	file     *os.File // the terminal, or nil
	terminal bool
	colour   bool
}

// NewPrinter returns a Printer to w. It is a terminal if w is an *os.File that
// is one and TERM is not "dumb"; it has colours unless NO_COLOR is set to
// anything but the empty string (https://no-color.org).
func NewPrinter(w io.Writer) *Printer {
	file, _ := w.(*os.File)
	p := newPrinter(w, IsTerminal(file), os.Getenv)
	if p.terminal {
		p.file = file
	}
	return p
}

func newPrinter(w io.Writer, terminal bool, getenv func(string) string) *Printer {
	terminal = terminal && getenv("TERM") != "dumb"
	return &Printer{w: w, terminal: terminal, colour: terminal && getenv("NO_COLOR") == ""}
}

// Terminal reports whether lines can be rewritten.
func (p *Printer) Terminal() bool { return p.terminal }

// Colour reports whether the styles colour anything.
func (p *Printer) Colour() bool { return p.colour }

// Write implements io.Writer.
func (p *Printer) Write(b []byte) (int, error) { return p.w.Write(b) }

// Printf writes a formatted text. Like fmt.Printf's, its error is rarely of
// use and dropped.
func (p *Printer) Printf(format string, args ...any) { fmt.Fprintf(p.w, format, args...) }

// Println writes its arguments and a line break.
func (p *Printer) Println(args ...any) { fmt.Fprintln(p.w, args...) }

// Bold makes a text stand out.
func (p *Printer) Bold(s string) string { return p.style("1", s) }

// Dim makes a text recede.
func (p *Printer) Dim(s string) string { return p.style("2", s) }

// Red is for failures.
func (p *Printer) Red(s string) string { return p.style("31", s) }

// Green is for success.
func (p *Printer) Green(s string) string { return p.style("32", s) }

// Yellow is for warnings.
func (p *Printer) Yellow(s string) string { return p.style("33", s) }

// Cyan is for what the reader may want to copy.
func (p *Printer) Cyan(s string) string { return p.style("36", s) }

// style wraps s in an SGR sequence (ECMA-48, 8.3.117).
func (p *Printer) style(code, s string) string {
	if !p.colour || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// width is the number of columns of the terminal.
func (p *Printer) width() int {
	if p.file != nil {
		if columns, _, err := term.GetSize(int(p.file.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return defaultWidth
}
