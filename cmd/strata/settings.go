package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/strataos/strataos/node/config"
)

// settingFlags are the flags of a command that reads a node's configuration:
// the file, and one for each setting.
type settingFlags struct {
	file  string
	given map[string]*string
}

func addSettings(cmd *cobra.Command) *settingFlags {
	f := &settingFlags{given: map[string]*string{}}
	cmd.Flags().StringVarP(&f.file, "config", "c", "", "configuration file (TOML); STRATA_CONFIG names one too")
	for _, s := range config.Settings {
		f.given[s.Flag()] = cmd.Flags().String(s.Flag(), "", s.Usage+" ["+s.Env()+"]")
		if len(s.Words) > 0 {
			completeWords(cmd, s.Flag(), s.Words...)
		}
	}
	return f
}

// load reads the configuration from all its sources.
func (f *settingFlags) load(cmd *cobra.Command) (*config.Config, []config.Value, error) {
	flags := map[string]string{}
	for name, value := range f.given {
		if cmd.Flags().Changed(name) {
			flags[name] = *value
		}
	}
	file := f.file
	if file == "" {
		file = os.Getenv("STRATA_CONFIG")
	}
	return config.Load(file, os.Environ(), flags)
}
