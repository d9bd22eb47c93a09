package config

import "go.yaml.in/yaml/v4"

// PlaceOfEntry returns line and column of an entry, from 0.
func (h *HTPasswd) PlaceOfEntry(i int) (line, column int) {
	return h.place(func(n *yaml.Node) *yaml.Node { return item(value(n, "entries"), i) })
}

// PlaceOfMember returns line and column of a name in a group.
func (h *HTPasswd) PlaceOfMember(group, name string) (line, column int) {
	return h.place(func(n *yaml.Node) *yaml.Node {
		members := value(value(n, "groups"), group)
		for _, member := range members.Content {
			if member.Value == name {
				return member
			}
		}
		return members
	})
}

// PlaceOfClaims returns line and column of the claims of a name.
func (h *HTPasswd) PlaceOfClaims(name string) (line, column int) {
	return h.place(func(n *yaml.Node) *yaml.Node { return value(value(n, "claims"), name) })
}

// place returns where a part of the source is written; 0 if the source is no file's.
func (h *HTPasswd) place(part func(*yaml.Node) *yaml.Node) (line, column int) {
	if h.node == nil {
		return 0, 0
	}
	n := part(h.node)
	return n.Line, n.Column
}
