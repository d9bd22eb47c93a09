package server

var ShowsText = showsText
