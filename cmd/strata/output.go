package main

import (
	"encoding/json"
	"io"

	"github.com/strataos/strataos/cmd/strata/internal/term"
)

// printJSON prints a value as a program would read it.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// printTable prints rows, of which the first is the heading.
func printTable(w io.Writer, rows [][]string) error {
	p := term.NewPrinter(w)
	align := make([]term.Align, len(rows[0]))
	table := term.NewTable(align...)
	for i, row := range rows {
		if i == 0 {
			heading := make([]string, len(row))
			for j, cell := range row {
				heading[j] = p.Bold(cell)
			}
			row = heading
		}
		table.Row(row...)
	}
	_, err := table.WriteTo(p)
	return err
}
