package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func itoa(number int) string { return strconv.Itoa(number) }

// arguments are a component's flags by name.
type arguments map[string]string

// merge lays the user's key=value pairs over the defaults; a key given twice is joined by commas.
func (a arguments) merge(extra []string) arguments {
	merged := maps.Clone(a)
	seen := map[string]bool{}
	for _, pair := range extra {
		name, value, hasValue := strings.Cut(strings.TrimLeft(pair, "-"), "=")
		if !hasValue {
			value = "true"
		}
		if seen[name] {
			value = merged[name] + "," + value
		}
		merged[name], seen[name] = value, true
	}
	return merged
}

func (a arguments) words() []string {
	words := []string{}
	for _, name := range slices.Sorted(maps.Keys(a)) {
		words = append(words, "--"+name+"="+a[name])
	}
	return words
}

var (
	componentMutex sync.Mutex
	componentPIDs  = map[int]syscall.Signal{} // and how each is asked to end
	stopping       bool
)

func rememberChild(pid int, farewell syscall.Signal) {
	componentMutex.Lock()
	defer componentMutex.Unlock()
	componentPIDs[pid] = farewell
}

// startComponent runs a hidden subcommand of this program as a child that cannot outlive it.
// PDEATHSIG follows the thread that forked, so that thread is kept for as long as the child lives.
func startComponent(name string, flags arguments, environment ...string) {
	go func() {
		runtime.LockOSThread()
		command := exec.Command("/proc/self/exe", append([]string{name}, flags.words()...)...)
		command.Stdout, command.Stderr = os.Stderr, os.Stderr
		command.Env = append(os.Environ(), environment...)
		command.Env = slices.DeleteFunc(command.Env, func(pair string) bool { return strings.HasPrefix(pair, "NOTIFY_SOCKET=") })
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		infof("Running %s %s", name, strings.Join(flags.words(), " "))
		if err := command.Start(); err != nil {
			fatalf("%s failed to start: %v", name, err)
		}
		rememberChild(command.Process.Pid, syscall.SIGKILL)
		err := command.Wait()
		componentMutex.Lock()
		defer componentMutex.Unlock()
		if !stopping {
			fatalf("%s exited: %v", name, err)
		}
	}()
}

// stopComponents asks the children to end, so that leader election is given up where it can be.
func stopComponents() {
	componentMutex.Lock()
	defer componentMutex.Unlock()
	stopping = true
	for pid, farewell := range componentPIDs {
		if err := syscall.Kill(pid, farewell); err != nil {
			debugf("child %d was gone: %v", pid, err)
		}
	}
}

func (s *Server) startKubernetes(ctx context.Context) error {
	startComponent("kube-apiserver", s.apiserverArguments().merge(s.options.List("kube-apiserver-arg")))
	if err := s.awaitAPI(ctx); err != nil {
		return err
	}
	startComponent("kube-controller-manager", s.controllerArguments().merge(s.options.List("kube-controller-manager-arg")))
	if !s.options.Bool("disable-scheduler") {
		startComponent("kube-scheduler", s.schedulerArguments().merge(s.options.List("kube-scheduler-arg")))
	}
	return nil
}

// awaitAPI polls until kube-apiserver is ready.
func (s *Server) awaitAPI(ctx context.Context) error {
	config, err := clientTLS(s.paths.tls("server-ca.crt"), s.paths.tls("client-supervisor.crt"), s.paths.tls("client-supervisor.key"))
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	for said := time.Now(); ; {
		status := "no answer"
		if response, err := client.Get(s.apiURL() + "/readyz"); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			status = response.Status
		}
		if time.Since(said) > 5*time.Second {
			infof("Polling for API server readiness: GET /readyz failed: %s", status)
			said = time.Now()
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

func (s *Server) apiserverArguments() arguments {
	tls := func(name string) string { return s.paths.tls(name) }
	flags := arguments{
		"advertise-address":                  s.advertise,
		"allow-privileged":                   "true",
		"anonymous-auth":                     "false",
		"api-audiences":                      "https://kubernetes.default.svc." + s.options.String("cluster-domain") + ",k3s",
		"authorization-mode":                 "Node,RBAC",
		"bind-address":                       "127.0.0.1",
		"client-ca-file":                     tls("client-ca.crt"),
		"enable-admission-plugins":           "NodeRestriction",
		"enable-bootstrap-token-auth":        "true",
		"endpoint-reconciler-type":           "none", // kubernetes Endpoints name port 6443: see endpoints.go
		"etcd-cafile":                        s.paths.tls("etcd", "server-ca.crt"),
		"etcd-certfile":                      s.paths.tls("etcd", "client.crt"),
		"etcd-keyfile":                       s.paths.tls("etcd", "client.key"),
		"etcd-servers":                       localEtcd,
		"kubelet-client-certificate":         tls("client-kube-apiserver.crt"),
		"kubelet-client-key":                 tls("client-kube-apiserver.key"),
		"profiling":                          "false",
		"proxy-client-cert-file":             tls("client-auth-proxy.crt"),
		"proxy-client-key-file":              tls("client-auth-proxy.key"),
		"requestheader-allowed-names":        "system:auth-proxy",
		"requestheader-client-ca-file":       tls("request-header-ca.crt"),
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
		"requestheader-group-headers":        "X-Remote-Group",
		"requestheader-username-headers":     "X-Remote-User",
		"secure-port":                        itoa(s.port + 1),
		"service-account-issuer":             "https://kubernetes.default.svc." + s.options.String("cluster-domain"),
		"service-account-key-file":           tls("service.key"),
		"service-account-signing-key-file":   tls("service.current.key"),
		"service-cluster-ip-range":           strings.Join(s.options.List("service-cidr"), ","),
		"service-node-port-range":            s.options.String("service-node-port-range"),
		"storage-backend":                    "etcd3",
		"tls-cert-file":                      tls("serving-kube-apiserver.crt"),
		"tls-private-key-file":               tls("serving-kube-apiserver.key"),
	}
	if podsAreReal() {
		flags["kubelet-preferred-address-types"] = "InternalIP,ExternalIP,Hostname"
	}
	if exists(s.encryptionFile()) {
		flags["encryption-provider-config"] = s.encryptionFile()
		flags["encryption-provider-config-automatic-reload"] = "true"
	}
	return flags
}

func (s *Server) controllerArguments() arguments {
	return arguments{
		"allocate-node-cidrs":       "true",
		"authentication-kubeconfig": s.credential("controller"),
		"authorization-kubeconfig":  s.credential("controller"),
		"bind-address":              "127.0.0.1",
		"cluster-cidr":              strings.Join(s.options.List("cluster-cidr"), ","),
		"cluster-signing-kube-apiserver-client-cert-file": s.paths.tls("client-ca.crt"),
		"cluster-signing-kube-apiserver-client-key-file":  s.paths.tls("client-ca.key"),
		"cluster-signing-kubelet-client-cert-file":        s.paths.tls("client-ca.crt"),
		"cluster-signing-kubelet-client-key-file":         s.paths.tls("client-ca.key"),
		"cluster-signing-kubelet-serving-cert-file":       s.paths.tls("server-ca.crt"),
		"cluster-signing-kubelet-serving-key-file":        s.paths.tls("server-ca.key"),
		"cluster-signing-legacy-unknown-cert-file":        s.paths.tls("server-ca.crt"),
		"cluster-signing-legacy-unknown-key-file":         s.paths.tls("server-ca.key"),
		"controllers":                      "*,tokencleaner,-service,-route,-cloud-node-lifecycle",
		"kubeconfig":                       s.credential("controller"),
		"leader-elect-lease-duration":      "15s",
		"leader-elect-renew-deadline":      "10s",
		"leader-elect-retry-period":        "3s",
		"node-monitor-grace-period":        nodeGrace.String(),
		"node-monitor-period":              "3s",
		"profiling":                        "false",
		"root-ca-file":                     s.paths.tls("server-ca.crt"),
		"secure-port":                      "10257",
		"service-account-private-key-file": s.paths.tls("service.current.key"),
		"service-cluster-ip-range":         strings.Join(s.options.List("service-cidr"), ","),
		"use-service-account-credentials":  "true",
	}
}

func (s *Server) schedulerArguments() arguments {
	return arguments{
		"authentication-kubeconfig":   s.credential("scheduler"),
		"authorization-kubeconfig":    s.credential("scheduler"),
		"bind-address":                "127.0.0.1",
		"kubeconfig":                  s.credential("scheduler"),
		"leader-elect-lease-duration": "15s",
		"leader-elect-renew-deadline": "10s",
		"leader-elect-retry-period":   "3s",
		"profiling":                   "false",
		"secure-port":                 "10259",
	}
}

// connectAdmin makes the client this process itself uses; it speaks to the local kube-apiserver.
func (s *Server) connectAdmin() error {
	s.adminConfig = &rest.Config{
		Host: s.apiURL(),
		TLSClientConfig: rest.TLSClientConfig{
			CAFile:   s.paths.tls("server-ca.crt"),
			CertFile: s.paths.tls("client-supervisor.crt"),
			KeyFile:  s.paths.tls("client-supervisor.key"),
		},
		QPS: 100, Burst: 200,
		UserAgent: "k3s-supervisor",
	}
	client, err := kubernetes.NewForConfig(s.adminConfig)
	if err != nil {
		return fmt.Errorf("failed to make the supervisor's client: %w", err)
	}
	s.admin = client
	return nil
}
