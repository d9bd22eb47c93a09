package notekey

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// A cosignature is the signature of a checkpoint by a witness, with the time. The format is that
// of https://c2sp.org/tlog-cosignature (Ed25519).
const (
	algorithm    = 4 // the number that stands for cosignatures in a public key and in a key's id
	timeSize     = 8
	cosignedSize = timeSize + ed25519.SignatureSize
)

// WitnessVerifier returns the verifier of a witness's public key. It rejects the key of a log,
// because a log must not act as its own witness.
func WitnessVerifier(public string) (note.Verifier, error) {
	malformed := fmt.Errorf("%.100q is not the public key of a witness: want NAME+ID+KEY", public)
	parts := strings.SplitN(public, "+", 3)
	if len(parts) < 3 {
		return nil, malformed
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != algorithm {
		return nil, malformed
	}
	v := cosignatures{name: parts[0], key: key[1:]}
	id, err := strconv.ParseUint(parts[1], 16, 32)
	if err != nil || len(parts[1]) != 8 || uint32(id) != v.KeyHash() || v.name == "" || strings.ContainsAny(v.name, " \t\r\n") {
		return nil, malformed
	}
	return v, nil
}

// cosignatures is a verifier for the cosignatures of a witness.
type cosignatures struct {
	name string
	key  ed25519.PublicKey
}

func (v cosignatures) Name() string { return v.name }

func (v cosignatures) KeyHash() uint32 {
	sum := sha256.Sum256(append([]byte(v.name+"\n"), append([]byte{algorithm}, v.key...)...))
	return binary.BigEndian.Uint32(sum[:])
}

func (v cosignatures) Verify(msg, sig []byte) bool {
	if len(sig) != cosignedSize || sig[0] > 127 { // a time of at most 63 bits
		return false
	}
	return ed25519.Verify(v.key, signedBytes(msg, binary.BigEndian.Uint64(sig)), sig[timeSize:])
}

// signedBytes returns the bytes that a witness signs.
func signedBytes(msg []byte, at uint64) []byte {
	return append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", at), msg...)
}

// Cosigner returns a signer of cosignatures. A cosignature includes the current time.
func (k *Key) Cosigner(now func() time.Time) note.Signer { return cosigner{k.cosignatures(), k, now} }

// WitnessPublic returns the public key of Cosigner.
func (k *Key) WitnessPublic() string {
	v := k.cosignatures()
	return fmt.Sprintf("%s+%08x+%s", v.name, v.KeyHash(), base64.StdEncoding.EncodeToString(append([]byte{algorithm}, v.key...)))
}

func (k *Key) cosignatures() cosignatures {
	return cosignatures{k.Name(), k.private.Public().(ed25519.PublicKey)}
}

type cosigner struct {
	cosignatures
	key *Key
	now func() time.Time
}

func (c cosigner) Sign(msg []byte) ([]byte, error) {
	at := c.now().Unix()
	if at < 0 {
		return nil, errors.New("the clock is before 1970")
	}
	signature := binary.BigEndian.AppendUint64(nil, uint64(at))
	return append(signature, ed25519.Sign(c.key.private, signedBytes(msg, uint64(at)))...), nil
}

// Describe returns the name of the key of a verified signature. For a cosignature, it also returns
// the time.
func Describe(s note.Signature) string {
	const id = 4
	raw, err := base64.StdEncoding.DecodeString(s.Base64)
	if err != nil || len(raw) != id+cosignedSize {
		return s.Name
	}
	at := time.Unix(int64(binary.BigEndian.Uint64(raw[id:])), 0)
	return s.Name + " at " + at.UTC().Format(time.RFC3339)
}
