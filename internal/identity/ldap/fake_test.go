package ldap_test

import (
	"net"
	"strings"
	"sync"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	client "github.com/go-ldap/ldap/v3"

	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
)

// fake is a directory that answers as it is told: for what OpenLDAP has not, as Active Directory's rule
// in chain and its ids, or does not do, as answering with a mistake.
type fake struct {
	listener  net.Listener
	entries   map[string][]*client.Entry // by base, scope and filter, as in "dc=x sub (uid=ann)"
	results   map[string]uint16          // of a search, likewise
	reference string                     // to another server, with each search
	grace     int64                      // logins that are left with an expired password; -1: it has not expired
	bound     string                     // what it answers who asks who is bound
	binds     map[string]uint16          // by DN: the result; 0 for the password "right"

	mu    sync.Mutex // what is below, and binds once it serves
	asked []string
	held  chan struct{} // answers wait for it; may be nil
}

func newFake(t testing.TB) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{listener: l, entries: make(map[string][]*client.Entry), results: make(map[string]uint16), binds: make(map[string]uint16), grace: -1, reference: "ldap://ForestDnsZones.corp/DC=ForestDnsZones,DC=corp"}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f.serve(c)
		}
	}()
	return f
}

// options are those of somebody who runs it.
func (f *fake) options() ldap.Options {
	return ldap.Options{
		Name: "ad", Servers: []string{"ldap://" + f.listener.Addr().String()},
		User: ldap.User{Base: "dc=corp", Filter: "(sAMAccountName={name})", NameAttribute: "sAMAccountName"},
	}
}

// heard returns what was asked.
func (f *fake) heard() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.asked...)
}

// hold keeps answers back until the function that it returns is called.
func (f *fake) hold() (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	held := make(chan struct{})
	f.held = held
	return func() { close(held) }
}

// set changes what a bind is answered.
func (f *fake) set(dn string, code uint16) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.binds[dn] = code
}

func (f *fake) serve(c net.Conn) {
	defer c.Close()
	for {
		packet, err := ber.ReadPacket(c)
		if err != nil || len(packet.Children) < 2 {
			return
		}
		id, _ := packet.Children[0].Value.(int64)
		request := packet.Children[1]
		var answers []*ber.Packet
		switch request.Tag {
		case client.ApplicationBindRequest:
			answers = []*ber.Packet{f.bind(request)}
		case client.ApplicationSearchRequest:
			answers = f.search(request)
		case client.ApplicationExtendedRequest: // StartTLS, which it does not know, or who is bound
			answer := result(client.ApplicationExtendedResponse, client.LDAPResultUnwillingToPerform)
			if f.bound != "" {
				answer = result(client.ApplicationExtendedResponse, client.LDAPResultSuccess)
				answer.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 11, f.bound, ""))
			}
			answers = []*ber.Packet{answer}
		default:
			return
		}
		for _, a := range answers {
			message := ber.NewSequence("LDAPMessage")
			message.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
			message.AppendChild(a)
			if request.Tag == client.ApplicationBindRequest && f.grace >= 0 {
				message.AppendChild(graceLogins(f.grace))
			}
			if _, err := c.Write(message.Bytes()); err != nil {
				return
			}
		}
	}
}

func (f *fake) note(what string) {
	f.mu.Lock()
	f.asked = append(f.asked, what)
	held := f.held
	f.mu.Unlock()
	if held != nil {
		<-held
	}
}

func (f *fake) bind(request *ber.Packet) *ber.Packet {
	dn, password := request.Children[1].Data.String(), request.Children[2].Data.String()
	f.note("bind " + dn)
	f.mu.Lock()
	code, ok := f.binds[dn]
	f.mu.Unlock()
	if !ok || code == 0 && password != "right" {
		code = client.LDAPResultInvalidCredentials
	}
	return result(client.ApplicationBindResponse, code)
}

func (f *fake) search(request *ber.Packet) (answers []*ber.Packet) {
	scope, _ := request.Children[1].Value.(int64)
	filter, _ := client.DecompileFilter(request.Children[6])
	what := request.Children[0].Data.String() + " " + []string{"base", "one", "sub"}[scope] + " " + filter
	f.note(what)
	for _, e := range f.entries[what] {
		entry := ber.Encode(ber.ClassApplication, ber.TypeConstructed, client.ApplicationSearchResultEntry, nil, "")
		entry.AppendChild(text(e.DN))
		attributes := ber.NewSequence("")
		for _, a := range e.Attributes {
			one := ber.NewSequence("")
			one.AppendChild(text(a.Name))
			values := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
			for _, v := range a.Values {
				values.AppendChild(text(v))
			}
			one.AppendChild(values)
			attributes.AppendChild(one)
		}
		entry.AppendChild(attributes)
		answers = append(answers, entry)
	}
	reference := ber.Encode(ber.ClassApplication, ber.TypeConstructed, client.ApplicationSearchResultReference, nil, "")
	reference.AppendChild(text(f.reference)) // as Active Directory adds to each search from its top
	return append(answers, reference, result(client.ApplicationSearchResultDone, f.results[what]))
}

// graceLogins are the controls of an answer to a bind with an expired password (draft-behera-ldap-password-policy).
func graceLogins(left int64) *ber.Packet {
	warning := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
	warning.AppendChild(ber.NewInteger(ber.ClassContext, ber.TypePrimitive, 1, left, ""))
	value := ber.NewSequence("")
	value.AppendChild(warning)
	control := ber.NewSequence("")
	control.AppendChild(text(client.ControlTypeBeheraPasswordPolicy))
	control.AppendChild(text(string(value.Bytes())))
	controls := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
	controls.AppendChild(control)
	return controls
}

func text(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

func result(tag ber.Tag, code uint16) *ber.Packet {
	r := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	r.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, int64(code), ""))
	r.AppendChild(text(""))
	r.AppendChild(text("as it was told"))
	return r
}

// entry makes one of "attribute: value" lines.
func entry(dn string, lines ...string) *client.Entry {
	attributes := make(map[string][]string)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		attributes[name] = append(attributes[name], value)
	}
	return client.NewEntry(dn, attributes)
}
