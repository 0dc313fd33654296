package main

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/scrypt"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const passwordRejected = "Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match " +
	"server node-passwd entry, try enabling a unique node name with the --with-node-id flag"

var errPassword = errors.New("the node's password does not match the hash kept for its name")

func passwordSecretName(node string) string {
	return strings.ToLower(node + ".node-password.k3s")
}

// checkNodePassword compares with the Secret of an earlier registration, or makes it.
func (s *Server) checkNodePassword(ctx context.Context, node, password string) error {
	secrets := s.admin.CoreV1().Secrets(metav1.NamespaceSystem)
	found, err := secrets.Get(ctx, passwordSecretName(node), metav1.GetOptions{})
	if err == nil {
		return verifyPassword(string(found.Data["hash"]), password)
	}
	if !apierrors.IsNotFound(err) {
		return err
	}
	hash, err := hashPassword(password)
	if err != nil {
		return err
	}
	immutable := true
	_, err = secrets.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: passwordSecretName(node), Namespace: metav1.NamespaceSystem},
		Immutable:  &immutable,
		Data:       map[string][]byte{"hash": []byte(hash)},
	}, metav1.CreateOptions{})
	return err
}

// hashPassword gives $1:<salt>:<log2 N>:<r>:<p>:<scrypt in base64>.
func hashPassword(password string) (string, error) {
	salt := randomHex(8)
	hash, err := scrypt.Key([]byte(password), []byte(salt), 1<<14, 8, 1, 64)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("$1:%s:14:8:1:%s", salt, base64.RawStdEncoding.EncodeToString(hash)), nil
}

func verifyPassword(hash, password string) error {
	parts := strings.Split(hash, ":")
	if len(parts) != 6 || parts[0] != "$1" {
		return fmt.Errorf("%w: the kept hash is malformed", errPassword)
	}
	cost, err := strconv.Atoi(parts[2])
	if err != nil || cost < 1 || cost > 20 {
		return fmt.Errorf("%w: the kept hash is malformed", errPassword)
	}
	expected, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil {
		return fmt.Errorf("%w: the kept hash is malformed", errPassword)
	}
	found, err := scrypt.Key([]byte(password), []byte(parts[1]), 1<<cost, 8, 1, len(expected))
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(found, expected) != 1 {
		return errPassword
	}
	return nil
}
