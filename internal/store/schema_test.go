package store_test

import (
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

// kinds maps column types of each database to a common kind.
var kinds = map[string]string{
	"INTEGER": "number", "BIGINT": "number", "bigint": "number",
	"TEXT": "text", "text": "text",
	"BLOB": "bytes", "bytea": "bytes",
}

// The migrations of SQLite and PostgreSQL create the same tables, columns and indexes.
func TestTheMigrationsOfBothDatabasesAgree(t *testing.T) {
	sqlite, postgres := open(t, storetest.SQLite().Ready(t)), open(t, storetest.PostgreSQL().Ready(t))

	columns := map[string][]string{
		"SQLite": rows(t, sqlite.Read(), `
			SELECT m.name, c.name, c.type, c."notnull", c.pk FROM sqlite_schema m JOIN pragma_table_info(m.name) c
			WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> 'goose_db_version'`),
		"PostgreSQL": rows(t, postgres.Read(), `
			SELECT c.table_name::text, c.column_name::text, c.data_type::text,
			       CASE c.is_nullable WHEN 'NO' THEN 1::bigint ELSE 0 END, coalesce(array_position(i.indkey::int2[], a.attnum) + 1, 0)::bigint
			FROM information_schema.columns c
			JOIN pg_attribute a ON a.attrelid = c.table_name::regclass AND a.attname = c.column_name
			LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
			WHERE c.table_schema = 'public' AND c.table_name <> 'goose_db_version'`),
	}
	for name, list := range columns {
		for i, row := range list {
			part := strings.Split(row, " ")
			kind, ok := kinds[part[2]]
			if !ok {
				t.Errorf("%s: the column %s has the type %s: add this type to kinds", name, part[1], part[2])
			}
			list[i] = fmt.Sprintf("%s.%s %s not null %s, place in the primary key %s", part[0], part[1], kind, part[3], part[4])
		}
		slices.Sort(list)
	}
	if diff := cmp.Diff(columns["SQLite"], columns["PostgreSQL"]); diff != "" {
		t.Errorf("columns on SQLite (-) and on PostgreSQL (+):\n%s", diff)
	}

	indexes := map[string][]string{
		"SQLite": rows(t, sqlite.Read(), `SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL`),
		"PostgreSQL": rows(t, postgres.Read(), `
			SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
			WHERE c.relnamespace = 'public'::regnamespace AND NOT i.indisprimary
			AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid)
			AND i.indrelid <> 'goose_db_version'::regclass`),
	}
	for _, list := range indexes {
		for i := range list {
			list[i] = normalize(list[i])
		}
		slices.Sort(list)
	}
	if diff := cmp.Diff(indexes["SQLite"], indexes["PostgreSQL"]); diff != "" {
		t.Errorf("indexes on SQLite (-) and on PostgreSQL (+):\n%s", diff)
	}

	// The columns that constraints of tables make unique.
	unique := map[string][]string{
		"SQLite": rows(t, sqlite.Read(), `
			SELECT m.name, group_concat(c.name, ',') FROM sqlite_schema m JOIN pragma_index_list(m.name) i JOIN pragma_index_info(i.name) c
			WHERE m.type = 'table' AND i.origin = 'u' GROUP BY m.name, i.name`),
		"PostgreSQL": rows(t, postgres.Read(), `
			SELECT k.conrelid::regclass::text, (
				SELECT string_agg(a.attname, ',' ORDER BY n) FROM unnest(k.conkey) WITH ORDINALITY AS u (num, n)
				JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num)
			FROM pg_constraint k WHERE k.contype = 'u' AND k.connamespace = 'public'::regnamespace`),
	}
	for _, list := range unique {
		slices.Sort(list)
	}
	if diff := cmp.Diff(unique["SQLite"], unique["PostgreSQL"]); diff != "" {
		t.Errorf("unique columns on SQLite (-) and on PostgreSQL (+):\n%s", diff)
	}

	// Copies insert tables in any order, so there may be no foreign keys.
	foreign := rows(t, postgres.Read(), `SELECT conname::text FROM pg_constraint WHERE contype = 'f'`)
	if len(foreign) != 0 || len(columns["SQLite"]) == 0 || len(indexes["SQLite"]) == 0 || len(unique["SQLite"]) == 0 {
		t.Errorf("foreign keys: %v; %d columns, %d indexes, %d unique", foreign, len(columns["SQLite"]), len(indexes["SQLite"]), len(unique["SQLite"]))
	}
}

var noise = regexp.MustCompile(`public\.| USING btree|[()']|::text| COLLATE "C"|\s+`)

// normalize changes the definition of an index, so that the definitions of both databases can be
// compared.
func normalize(definition string) string {
	return strings.Join(strings.Fields(noise.ReplaceAllString(definition, " ")), " ")
}

// rows returns the rows of a query as text.
func rows(t *testing.T, pool *sql.DB, query string) (list []string) {
	t.Helper()
	found, err := pool.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	columns, err := found.Columns()
	if err != nil {
		t.Fatal(err)
	}
	row, places := make([]any, len(columns)), make([]any, len(columns))
	for i := range row {
		places[i] = &row[i]
	}
	for found.Next() {
		if err := found.Scan(places...); err != nil {
			t.Fatal(err)
		}
		parts := make([]string, len(row))
		for i := range row {
			parts[i] = fmt.Sprint(row[i])
		}
		list = append(list, strings.Join(parts, " "))
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}
