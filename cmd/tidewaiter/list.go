package main

import (
	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
)

// printList writes all pages of a list, as a table or as the JSON form of the API.
func printList[T, F any](cmd *cobra.Command, output format, read func(accounts.Page) ([]T, string, error), form func(*T) F,
	head []string, row func(*T) []string) error {
	list, err := all(read)
	if err != nil {
		return err
	}
	if output == asJSON {
		forms := make([]F, len(list))
		for i := range list {
			forms[i] = form(&list[i])
		}
		return writeJSON(cmd.OutOrStdout(), forms)
	}
	rows := [][]string{head}
	for i := range list {
		rows = append(rows, row(&list[i]))
	}
	return table(cmd.OutOrStdout(), rows)
}

// all collects the pages of a list.
func all[T any](list func(accounts.Page) ([]T, string, error)) ([]T, error) {
	found := []T{} // never null in JSON
	for page := (accounts.Page{Limit: 1000}); ; {
		more, next, err := list(page)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
		if next == "" {
			return found, nil
		}
		page.After = next
	}
}
