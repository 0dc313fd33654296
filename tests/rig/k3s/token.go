package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"regexp"
	"strings"
)

const (
	tokenPrefix      = "K10"
	hashLength       = 64
	serverUser       = "server"
	nodeUser         = "node"
	bootstrapPattern = `^([a-z0-9]{6})\.([a-z0-9]{16})$`
)

var bootstrapToken = regexp.MustCompile(bootstrapPattern)

// Token is a join token taken apart. Bootstrap is the id.secret form made by `k3s token create`;
// otherwise Secret is the cluster's shared secret. CAHash is "" in the short form.
type Token struct {
	CAHash    string
	User      string
	Secret    string
	Bootstrap string
}

// parseToken understands K10<hash>::<user>:<secret>, K10<hash>::<id>.<secret> and a bare secret.
func parseToken(token string) (Token, error) {
	if token == "" {
		return Token{}, errors.New("token must not be empty")
	}
	credentials, hash := token, ""
	if full, isFull := strings.CutPrefix(token, tokenPrefix); isFull {
		before, after, separated := strings.Cut(full, "::")
		credentials = full
		if separated {
			if before != "" && len(before) != hashLength {
				return Token{}, errors.New("invalid token CA hash length")
			}
			hash, credentials = before, after
		}
		return parseCredentials(hash, credentials)
	}
	if bootstrapToken.MatchString(token) {
		return Token{Bootstrap: token}, nil
	}
	return Token{Secret: token}, nil
}

func parseCredentials(hash, credentials string) (Token, error) {
	if bootstrapToken.MatchString(credentials) {
		return Token{CAHash: hash, Bootstrap: credentials}, nil
	}
	user, secret, separated := strings.Cut(credentials, ":")
	if !separated || secret == "" {
		return Token{}, errors.New("invalid token format")
	}
	return Token{CAHash: hash, User: user, Secret: secret}, nil
}

// caHash is the hash in a full token: of the file as it stands, newline and all.
func caHash(certificates []byte) string {
	digest := sha256.Sum256(certificates)
	return hex.EncodeToString(digest[:])
}

// formatToken gives K10<hash>::<credentials>.
func formatToken(certificates []byte, credentials string) string {
	return tokenPrefix + caHash(certificates) + "::" + credentials
}

// randomHex gives 2n hexadecimal digits that nobody can guess.
func randomHex(n int) string {
	bytes := make([]byte, n)
	if _, err := rand.Read(bytes); err != nil {
		fatalf("no random numbers: %v", err)
	}
	return hex.EncodeToString(bytes)
}

// serverSecret is the shared secret: from the settings, else from the file an earlier start wrote,
// else "" for a first start without one.
func serverSecret(options *Options, paths Paths) (Token, error) {
	token, err := options.secret("token")
	if err != nil {
		return Token{}, err
	}
	if token == "" {
		content, err := os.ReadFile(paths.server("token"))
		if errors.Is(err, os.ErrNotExist) {
			return Token{}, nil
		}
		if err != nil {
			return Token{}, err
		}
		token = strings.TrimSpace(string(content))
	}
	return parseToken(token)
}
