package main

import "github.com/spf13/cobra"

func newAccord() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "accord",
		Short: "Decide together",
		Long: `Decisions of the members: one proposes, the participants vote, and the ledger
says what it has come to.`,
	}
	cmd.AddCommand(newAccordPolicy())
	return cmd
}
