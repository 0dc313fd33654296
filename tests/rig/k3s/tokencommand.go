package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const bootstrapSecretPrefix = "bootstrap-token-"

func runToken(arguments []string) error {
	options, err := parseOptions("token", arguments)
	if err != nil {
		return err
	}
	actions := map[string]func(*Options, []string) error{
		"create": createToken, "list": listTokens, "ls": listTokens, "delete": deleteTokens,
		"generate": generateToken, "rotate": rotateToken,
	}
	if len(options.Rest) == 0 {
		return errors.New("which of create, list, delete, generate, rotate?")
	}
	action, known := actions[options.Rest[0]]
	if !known {
		return fmt.Errorf("no help topic for %q", options.Rest[0])
	}
	return action(options, options.Rest[1:])
}

// administrator gives a client from the kubeconfig, and the authority in it.
func administrator(options *Options) (kubernetes.Interface, []byte, error) {
	file := firstOf(options.String("kubeconfig"), options.String("write-kubeconfig"))
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		return nil, nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	return client, config.CAData, err
}

func newBootstrapToken() string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	text := strings.Builder{}
	for range 22 {
		index, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			fatalf("no random numbers: %v", err)
		}
		text.WriteByte(letters[index.Int64()])
	}
	return text.String()[:6] + "." + text.String()[6:]
}

func generateToken(*Options, []string) error {
	fmt.Println(newBootstrapToken())
	return nil
}

func createToken(options *Options, rest []string) error {
	lifetime, err := time.ParseDuration(options.String("ttl"))
	if err != nil {
		return fmt.Errorf("invalid --ttl: %w", err)
	}
	token := newBootstrapToken()
	if len(rest) > 0 {
		token = rest[0]
	}
	parts := bootstrapToken.FindStringSubmatch(token)
	if parts == nil {
		return fmt.Errorf("the bootstrap token %q was not of the form %q", token, bootstrapPattern)
	}
	client, ca, err := administrator(options)
	if err != nil {
		return err
	}
	data := map[string]string{
		"token-id": parts[1], "token-secret": parts[2], "description": options.String("description"),
		"usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
		"auth-extra-groups": "system:bootstrappers:k3s:default-node-token",
	}
	if lifetime > 0 {
		data["expiration"] = time.Now().UTC().Add(lifetime).Format(time.RFC3339)
	}
	_, err = client.CoreV1().Secrets(metav1.NamespaceSystem).Create(context.Background(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: bootstrapSecretPrefix + parts[1]},
		Type:       corev1.SecretTypeBootstrapToken,
		StringData: data,
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	fmt.Println(formatToken(ca, token))
	return nil
}

func listTokens(options *Options, _ []string) error {
	client, _, err := administrator(options)
	if err != nil {
		return err
	}
	secrets, err := client.CoreV1().Secrets(metav1.NamespaceSystem).List(context.Background(), metav1.ListOptions{
		FieldSelector: "type=" + string(corev1.SecretTypeBootstrapToken),
	})
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 10, 4, 3, ' ', 0)
	fmt.Fprintln(table, "TOKEN\tTTL\tEXPIRES\tUSAGES\tDESCRIPTION")
	for _, secret := range secrets.Items {
		left, until := "<forever>", "<never>"
		if expiration := string(secret.Data["expiration"]); expiration != "" {
			left, until = "<invalid>", expiration
			if at, err := time.Parse(time.RFC3339, expiration); err == nil {
				left = time.Until(at).Round(time.Second).String()
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\tauthentication,signing\t%s\n", secret.Data["token-id"], left, until, secret.Data["description"])
	}
	return table.Flush()
}

func deleteTokens(options *Options, tokens []string) error {
	client, _, err := administrator(options)
	if err != nil {
		return err
	}
	for _, token := range tokens {
		id, _, _ := strings.Cut(token, ".")
		name := bootstrapSecretPrefix + id
		if err := client.CoreV1().Secrets(metav1.NamespaceSystem).Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
			return err
		}
		fmt.Printf("bootstrap token %q deleted\n", id)
	}
	return nil
}

// rotateToken asks the server to take a new shared secret. Servers and agents then need it in their
// configuration at their next start.
func rotateToken(options *Options, _ []string) error {
	remote, err := commandRemote(options)
	if err != nil {
		return err
	}
	fresh, err := parseToken(firstOf(options.String("new-token"), randomHex(16)))
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]string{"newToken": fresh.Secret})
	if err != nil {
		return err
	}
	if _, err := remote.do(http.MethodPut, "/v1-k3s/token", body, nil); err != nil {
		return err
	}
	fmt.Println("Token rotated, restart k3s nodes with new token")
	return nil
}

// serveTokenRotation seals the bootstrap data with the new secret and drops the old copies.
func (s *Server) serveTokenRotation(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	wanted := struct{ NewToken string }{}
	if err := json.Unmarshal(content, &wanted); err != nil || wanted.NewToken == "" {
		http.Error(w, "newToken is needed", http.StatusBadRequest)
		return
	}
	client := s.etcdClient.Load()
	if client == nil {
		http.Error(w, "runtime core not ready", http.StatusServiceUnavailable)
		return
	}
	if err := s.storeBootstrap(r.Context(), client, wanted.NewToken); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if _, err := client.Delete(r.Context(), bootstrapKey(s.secret)); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.secret = wanted.NewToken
	if err := s.writeTokens(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
