// Package store answers: where is it kept?
//
// A DB is a handle to the database: opening, migrating, writing in one transaction at a time, reading
// beside it. It holds no queries: each room keeps its own SQL.
package store
