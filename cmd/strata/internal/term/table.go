package term

import (
	"io"
	"strings"
	"unicode/utf8"
)

// Align says to which side of its column a cell is moved.
type Align int

const (
	Left  Align = iota // for words
	Right              // for numbers
)

// Table writes rows in columns as wide as their widest cell, two spaces apart.
type Table struct {
	align []Align
	rows  [][]string
}

// NewTable returns a table with one column for each alignment.
func NewTable(columns ...Align) *Table { return &Table{align: columns} }

// Row adds a row. Missing cells are empty, and cells without a column are
// left out. Cells may be styled by a Printer.
func (t *Table) Row(cells ...string) {
	t.rows = append(t.rows, cells[:min(len(cells), len(t.align))])
}

// WriteTo writes the table. It implements io.WriterTo.
func (t *Table) WriteTo(w io.Writer) (int64, error) {
	widths := make([]int, len(t.align))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], columns(cell))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-columns(cell))
			if t.align[i] == Right {
				cell = space + cell
			} else {
				cell += space
			}
			if i > 0 {
				line.WriteString("  ")
			}
			line.WriteString(cell)
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

// columns is how many columns of the terminal a text takes: its characters
// without SGR sequences.
func columns(s string) (n int) {
	for s != "" {
		if strings.HasPrefix(s, "\x1b[") {
			if end := strings.IndexByte(s, 'm'); end >= 0 {
				s = s[end+1:]
				continue
			}
		}
		_, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		n++
	}
	return n
}
