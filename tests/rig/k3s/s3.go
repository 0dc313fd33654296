package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// bucket is the S3 side of snapshots: path-style requests, signed with AWS Signature Version 4.
type bucket struct {
	base   string // https://endpoint/bucket
	folder string
	region string
	access string
	secret string
	client *http.Client
}

// storedObject is one entry of a listing.
type storedObject struct {
	Key          string
	Size         int64
	LastModified time.Time
}

// bucketOf gives the bucket of the settings, or nil when S3 is off.
func bucketOf(options *Options) (*bucket, error) {
	if !options.Bool("etcd-s3") {
		return nil, nil
	}
	if options.String("etcd-s3-config-secret") != "" && options.String("etcd-s3-bucket") == "" {
		return nil, errors.New("this test distribution does not read etcd-s3-config-secret: give the etcd-s3 flags")
	}
	name := options.String("etcd-s3-bucket")
	if name == "" {
		return nil, errors.New("s3 bucket name was not set")
	}
	scheme := "https://"
	if options.Bool("etcd-s3-insecure") {
		scheme = "http://"
	}
	client, err := bucketClient(options)
	return &bucket{
		base: scheme + options.String("etcd-s3-endpoint") + "/" + name, folder: options.String("etcd-s3-folder"),
		region: options.String("etcd-s3-region"), access: options.String("etcd-s3-access-key"),
		secret: options.String("etcd-s3-secret-key"), client: client,
	}, err
}

func bucketClient(options *Options) (*http.Client, error) {
	timeout, err := time.ParseDuration(options.String("etcd-s3-timeout"))
	if err != nil {
		return nil, fmt.Errorf("invalid etcd-s3-timeout: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: options.Bool("etcd-s3-skip-ssl-verify")} //nolint:gosec // asked for
	if file := options.String("etcd-s3-endpoint-ca"); file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(content)
	}
	return &http.Client{Timeout: timeout, Transport: &http.Transport{TLSClientConfig: config}}, nil
}

func (b *bucket) do(method, key string, query url.Values, body []byte) ([]byte, error) {
	address := b.base
	if key != "" {
		address += "/" + (&url.URL{Path: key}).EscapedPath()
	}
	request, err := http.NewRequest(method, address+"?"+strings.ReplaceAll(query.Encode(), "+", "%20"), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	b.sign(request, body, time.Now().UTC())
	response, err := b.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode > 299 {
		return nil, fmt.Errorf("S3 answered %s to %s %s: %.300s", response.Status, method, key, content)
	}
	return content, nil
}

// sign adds the headers of AWS Signature Version 4.
func (b *bucket) sign(request *http.Request, body []byte, now time.Time) {
	stamp, day, payload := now.Format("20060102T150405Z"), now.Format("20060102"), hashHex(body)
	request.Header.Set("X-Amz-Date", stamp)
	request.Header.Set("X-Amz-Content-Sha256", payload)
	const signed = "host;x-amz-content-sha256;x-amz-date"
	headers := "host:" + request.URL.Host + "\nx-amz-content-sha256:" + payload + "\nx-amz-date:" + stamp + "\n"
	canonical := strings.Join([]string{request.Method, request.URL.EscapedPath(), request.URL.RawQuery, headers, signed, payload}, "\n")
	scope := day + "/" + b.region + "/s3/aws4_request"
	key := []byte("AWS4" + b.secret)
	for _, part := range []string{day, b.region, "s3", "aws4_request"} {
		key = mac(key, part)
	}
	signature := hex.EncodeToString(mac(key, "AWS4-HMAC-SHA256\n"+stamp+"\n"+scope+"\n"+hashHex([]byte(canonical))))
	request.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
		b.access, scope, signed, signature))
}

func mac(key []byte, text string) []byte {
	sum := hmac.New(sha256.New, key)
	sum.Write([]byte(text))
	return sum.Sum(nil)
}

func hashHex(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func (b *bucket) upload(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	infof("Uploading snapshot to %s/%s", b.base, path.Join(b.folder, filepath.Base(file)))
	_, err = b.do(http.MethodPut, path.Join(b.folder, filepath.Base(file)), nil, content)
	return err
}

// download fetches a snapshot into a directory and gives its path there.
func (b *bucket) download(name, directory string) (string, error) {
	infof("Retrieving etcd snapshot %s from S3", name)
	content, err := b.do(http.MethodGet, path.Join(b.folder, name), nil, nil)
	if err != nil {
		return "", err
	}
	file := filepath.Join(directory, path.Base(name))
	if err := writeFile(file, content, 0o600); err != nil {
		return "", err
	}
	infof("S3 download complete for %s", name)
	return file, nil
}

func (b *bucket) list() ([]storedObject, error) {
	prefix := b.folder
	if prefix != "" {
		prefix = strings.TrimSuffix(prefix, "/") + "/"
	}
	content, err := b.do(http.MethodGet, "", url.Values{"list-type": {"2"}, "prefix": {prefix}}, nil)
	if err != nil {
		return nil, err
	}
	answer := struct{ Contents []storedObject }{}
	err = xml.Unmarshal(content, &answer)
	return answer.Contents, err
}

func (b *bucket) remove(name string) error {
	_, err := b.do(http.MethodDelete, path.Join(b.folder, name), nil, nil)
	return err
}
