package ldaptest

import (
	"net"
	"strings"
	"sync"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// Fake is a directory with configured answers. Tests use it for faulty answers, and for features
// that OpenLDAP lacks, such as the ids of Active Directory and its rule
// LDAP_MATCHING_RULE_IN_CHAIN. Set the fields before the first request. After the first request,
// change the fields only with the methods.
type Fake struct {
	Address   string                   // host:port
	Entries   map[string][]*ldap.Entry // keyed by base, scope and filter: "dc=x sub (uid=ann)"
	Results   map[string]uint16        // result codes of searches, with the same keys
	Reference string                   // a referral to another server, in each search result
	Grace     int64                    // grace logins left after expiry; -1: not expired
	Bound     string                   // answer to WhoAmI
	Binds     map[string]uint16        // result codes by DN; 0: only "right" is accepted

	listener net.Listener

	mu    sync.Mutex // guards the fields below, and Entries and Binds after the first request
	asked []string
	held  chan struct{} // answers wait until it is closed; may be nil
}

// NewFake starts a Fake, which stops when the test ends.
func NewFake(t testing.TB) *Fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &Fake{
		listener: l, Address: l.Addr().String(), Entries: make(map[string][]*ldap.Entry), Results: make(map[string]uint16), Binds: make(map[string]uint16),
		Grace: -1, Reference: "ldap://ForestDnsZones.corp/DC=ForestDnsZones,DC=corp",
	}
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

// Refuse refuses new connections.
func (f *Fake) Refuse() { _ = f.listener.Close() }

// Heard returns the requests so far.
func (f *Fake) Heard() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.asked...)
}

// Hold delays answers until the returned function is called.
func (f *Fake) Hold() (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	held := make(chan struct{})
	f.held = held
	return func() { close(held) }
}

// SetBind changes the result of a bind.
func (f *Fake) SetBind(dn string, code uint16) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Binds[dn] = code
}

// SetEntries changes the result of a search.
func (f *Fake) SetEntries(search string, entries ...*ldap.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Entries[search] = entries
}

func (f *Fake) serve(c net.Conn) {
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
		case ldap.ApplicationBindRequest:
			answers = []*ber.Packet{f.bind(request)}
		case ldap.ApplicationSearchRequest:
			answers = f.search(request)
		case ldap.ApplicationExtendedRequest: // WhoAmI, or StartTLS, which is not supported
			answer := result(ldap.ApplicationExtendedResponse, ldap.LDAPResultUnwillingToPerform)
			if f.Bound != "" {
				answer = result(ldap.ApplicationExtendedResponse, ldap.LDAPResultSuccess)
				answer.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 11, f.Bound, ""))
			}
			answers = []*ber.Packet{answer}
		default:
			return
		}
		for _, a := range answers {
			message := ber.NewSequence("LDAPMessage")
			message.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
			message.AppendChild(a)
			if request.Tag == ldap.ApplicationBindRequest && f.Grace >= 0 {
				message.AppendChild(graceLogins(f.Grace))
			}
			if _, err := c.Write(message.Bytes()); err != nil {
				return
			}
		}
	}
}

func (f *Fake) note(what string) {
	f.mu.Lock()
	f.asked = append(f.asked, what)
	held := f.held
	f.mu.Unlock()
	if held != nil {
		<-held
	}
}

func (f *Fake) bind(request *ber.Packet) *ber.Packet {
	dn, password := request.Children[1].Data.String(), request.Children[2].Data.String()
	f.note("bind " + dn)
	f.mu.Lock()
	code, ok := f.Binds[dn]
	f.mu.Unlock()
	if !ok || code == 0 && password != "right" {
		code = ldap.LDAPResultInvalidCredentials
	}
	return result(ldap.ApplicationBindResponse, code)
}

func (f *Fake) search(request *ber.Packet) (answers []*ber.Packet) {
	scope, _ := request.Children[1].Value.(int64)
	filter, _ := ldap.DecompileFilter(request.Children[6])
	what := request.Children[0].Data.String() + " " + []string{"base", "one", "sub"}[scope] + " " + filter
	f.note(what)
	f.mu.Lock()
	entries := f.Entries[what]
	f.mu.Unlock()
	for _, e := range entries {
		entry := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
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
	reference := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultReference, nil, "")
	reference.AppendChild(text(f.Reference)) // as Active Directory does for searches from the top
	return append(answers, reference, result(ldap.ApplicationSearchResultDone, f.Results[what]))
}

// graceLogins returns the controls of the answer to a bind with an expired password
// (draft-behera-ldap-password-policy).
func graceLogins(left int64) *ber.Packet {
	warning := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
	warning.AppendChild(ber.NewInteger(ber.ClassContext, ber.TypePrimitive, 1, left, ""))
	value := ber.NewSequence("")
	value.AppendChild(warning)
	control := ber.NewSequence("")
	control.AppendChild(text(ldap.ControlTypeBeheraPasswordPolicy))
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
	r.AppendChild(text("configured result"))
	return r
}

// Entry returns an entry made of "attribute: value" lines.
func Entry(dn string, lines ...string) *ldap.Entry {
	attributes := make(map[string][]string)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		attributes[name] = append(attributes[name], value)
	}
	return ldap.NewEntry(dn, attributes)
}
