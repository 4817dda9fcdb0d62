package main

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/node/config"
)

// completeWords has the shell propose words, and no files, for a flag.
func completeWords(cmd *cobra.Command, flag string, words ...string) {
	// An error would mean that the command has no such flag.
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err)
	}
}

// wordsOf are the values that a setting may have.
func wordsOf(key string) []string {
	i := slices.IndexFunc(config.Settings, func(s config.Setting) bool { return s.Key == key })
	return config.Settings[i].Words
}
