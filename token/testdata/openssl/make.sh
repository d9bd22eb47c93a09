#!/bin/sh
# Creates the files of this folder with the commands that administrators use. The keys are only for
# tests.
set -e
cd "$(dirname "$0")"

# The commands from the first guides to token authentication.
openssl ecparam -name prime256v1 -genkey -out ec.pem
openssl pkcs8 -topk8 -nocrypt -in ec.pem -out ec-pkcs8.pem
openssl req -new -x509 -days 36500 -key ec.pem -subj /CN=registry.example.com -out ec-cert.pem

# The other kinds of keys, each with a certificate.
openssl ecparam -name secp384r1 -genkey -noout -out p384.pem
openssl ecparam -name secp521r1 -genkey -noout -out p521.pem
openssl genrsa -traditional -out rsa.pem 2048
openssl genpkey -algorithm ed25519 -out ed25519.pem
for k in p384 p521 rsa ed25519; do
	openssl req -new -x509 -days 36500 -key $k.pem -subj /CN=registry.example.com -out $k-cert.pem
done
openssl x509 -in ec-cert.pem -text -out ec-cert-text.pem

# Files that ParseRoot must refuse.
openssl pkcs8 -topk8 -in ec.pem -passout pass:secret -out encrypted-pkcs8.pem
openssl ec -in ec.pem -aes128 -passout pass:secret -out encrypted-sec1.pem
openssl req -new -key ec.pem -subj /CN=registry.example.com -out request.pem
openssl x509 -in ec-cert.pem -trustout -out trusted.pem
openssl pkey -in ec.pem -pubout -out public.pem
openssl x509 -in ec-cert.pem -outform DER -out cert.der
openssl ec -in ec.pem -outform DER -out key.der
openssl ecparam -name prime256v1 -genkey -noout -param_enc explicit -out explicit.pem
openssl ecparam -name secp256k1 -genkey -noout -out secp256k1.pem
openssl genpkey -algorithm x25519 -out x25519.pem
ssh-keygen -q -t ecdsa -b 256 -N '' -C '' -f openssh.pem && rm openssh.pem.pub
openssl ecparam -name secp224r1 -genkey -noout -out p224.pem
openssl genrsa -traditional -out rsa1024.pem 1024
for k in p224 rsa1024; do
	openssl req -new -x509 -days 36500 -key $k.pem -subj /CN=registry.example.com -out $k-cert.pem
done

# A certificate that is not a CA.
openssl req -new -x509 -days 36500 -key ec.pem -subj /CN=registry.example.com -addext basicConstraints=critical,CA:FALSE -out ec-no-ca.pem
