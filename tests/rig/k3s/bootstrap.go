package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/crypto/pbkdf2"
)

const bootstrapPrefix = "/bootstrap/"

var (
	errDifferentToken = errors.New("bootstrap data already found and encrypted with different token")
	errNoBootstrap    = errors.New("no bootstrap data found in datastore - check server token value and verify datastore integrity")
)

// bootstrapFile is one file that every server of a cluster has in common.
type bootstrapFile struct {
	Timestamp time.Time `json:"Timestamp"`
	Content   []byte    `json:"Content"`
}

func (s *Server) bootstrapFiles() map[string]string {
	return map[string]string{
		"ServerCA":           s.paths.tls("server-ca.crt"),
		"ServerCAKey":        s.paths.tls("server-ca.key"),
		"ClientCA":           s.paths.tls("client-ca.crt"),
		"ClientCAKey":        s.paths.tls("client-ca.key"),
		"RequestHeaderCA":    s.paths.tls("request-header-ca.crt"),
		"RequestHeaderCAKey": s.paths.tls("request-header-ca.key"),
		"ETCDServerCA":       s.paths.tls("etcd", "server-ca.crt"),
		"ETCDServerCAKey":    s.paths.tls("etcd", "server-ca.key"),
		"ETCDPeerCA":         s.paths.tls("etcd", "peer-ca.crt"),
		"ETCDPeerCAKey":      s.paths.tls("etcd", "peer-ca.key"),
		"ServiceKey":         s.paths.tls("service.key"),
		"ServiceCurrentKey":  s.paths.tls("service.current.key"),
		"EncryptionConfig":   s.paths.server("cred", "encryption-config.json"),
	}
}

// collectBootstrap packs what a joining server needs.
func (s *Server) collectBootstrap() ([]byte, error) {
	files := map[string]bootstrapFile{}
	for key, path := range s.bootstrapFiles() {
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // secrets encryption is off
		}
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		files[key] = bootstrapFile{Timestamp: info.ModTime(), Content: content}
	}
	return json.Marshal(files)
}

// unpackBootstrap writes the files a cluster has in common.
func (s *Server) unpackBootstrap(data []byte) error {
	files := map[string]bootstrapFile{}
	if err := json.Unmarshal(data, &files); err != nil {
		return fmt.Errorf("the bootstrap data cannot be read: %w", err)
	}
	for key, path := range s.bootstrapFiles() {
		file, present := files[key]
		if !present {
			continue
		}
		mode := fs.FileMode(0o600)
		if strings.HasSuffix(path, ".crt") {
			mode = 0o644
		}
		if err := writeFile(path, file.Content, mode); err != nil {
			return err
		}
	}
	return nil
}

// bootstrapKey is where the data for one secret lies in etcd.
func bootstrapKey(secret string) string {
	digest := sha256.Sum256([]byte(secret))
	return bootstrapPrefix + hex.EncodeToString(digest[:])[:12]
}

// reconcileBootstrap proves the token against the datastore, or stores the first copy.
func (s *Server) reconcileBootstrap(ctx context.Context) error {
	infof("Reconciling bootstrap data between datastore and disk")
	client := s.etcdClient.Load()
	data, err := readBootstrap(ctx, client, s.secret)
	switch {
	case errors.Is(err, errNoBootstrap):
		return s.storeBootstrap(ctx, client, s.secret)
	case err != nil:
		return err
	}
	return s.unpackBootstrap(data)
}

// readBootstrap fetches and decrypts; errDifferentToken when only another secret's copy exists.
func readBootstrap(ctx context.Context, client *clientv3.Client, secret string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	response, err := client.Get(ctx, bootstrapKey(secret))
	if err != nil {
		return nil, err
	}
	if len(response.Kvs) > 0 {
		return decrypt(secret, response.Kvs[0].Value)
	}
	all, err := client.Get(ctx, bootstrapPrefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return nil, err
	}
	if all.Count > 0 {
		return nil, errDifferentToken
	}
	return nil, errNoBootstrap
}

func (s *Server) storeBootstrap(ctx context.Context, client *clientv3.Client, secret string) error {
	data, err := s.collectBootstrap()
	if err != nil {
		return err
	}
	sealed, err := encrypt(secret, data)
	if err != nil {
		return err
	}
	_, err = client.Put(ctx, bootstrapKey(secret), string(sealed))
	return err
}

func sealer(secret string, salt []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(pbkdf2.Key([]byte(secret), salt, 4096, 32, sha1.New))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// encrypt gives <salt>:<base64 of nonce and ciphertext>.
func encrypt(secret string, data []byte) ([]byte, error) {
	salt := randomHex(8)
	seal, err := sealer(secret, []byte(salt))
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, seal.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	sealed := seal.Seal(nonce, nonce, data, nil)
	return []byte(salt + ":" + base64.StdEncoding.EncodeToString(sealed)), nil
}

func decrypt(secret string, data []byte) ([]byte, error) {
	salt, encoded, separated := strings.Cut(string(data), ":")
	if !separated {
		return nil, errors.New("the bootstrap data in the datastore is malformed")
	}
	sealed, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, err
	}
	seal, err := sealer(secret, []byte(salt))
	if err != nil {
		return nil, err
	}
	if len(sealed) < seal.NonceSize() {
		return nil, errors.New("the bootstrap data in the datastore is malformed")
	}
	return seal.Open(nil, sealed[:seal.NonceSize()], sealed[seal.NonceSize():], nil)
}
