package main

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

func (s *Server) credential(name string) string { return s.paths.server("cred", name+".kubeconfig") }

// writeKubeconfigs writes the administrator's file and those of the components.
func (s *Server) writeKubeconfigs() error {
	for _, name := range []string{"controller", "scheduler", "admin"} {
		content, err := kubeconfig(s.apiURL(), s.paths.tls("server-ca.crt"), s.paths.tls("client-"+name))
		if err != nil {
			return err
		}
		if err := writeFile(s.credential(name), content, 0o600); err != nil {
			return err
		}
	}
	return s.writeAdminKubeconfig()
}

func (s *Server) writeAdminKubeconfig() error {
	content, err := kubeconfig("https://127.0.0.1:"+itoa(s.port), s.paths.tls("server-ca.crt"), s.paths.tls("client-admin"))
	if err != nil {
		return err
	}
	mode := os.FileMode(0o600)
	if wanted := s.options.String("write-kubeconfig-mode"); wanted != "" {
		parsed, err := strconv.ParseUint(wanted, 8, 32)
		if err != nil {
			return fmt.Errorf("failed to set %s to mode %s: %w", s.options.String("write-kubeconfig"), wanted, err)
		}
		mode = os.FileMode(parsed)
	}
	file := s.options.String("write-kubeconfig")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := writeFile(file, content, mode); err != nil {
		return err
	}
	infof("Wrote kubeconfig %s", file)
	return s.setKubeconfigGroup(file)
}

func (s *Server) setKubeconfigGroup(file string) error {
	name := s.options.String("write-kubeconfig-group")
	if name == "" {
		return nil
	}
	group, err := user.LookupGroup(name)
	if err != nil {
		return err
	}
	id, err := strconv.Atoi(group.Gid)
	if err != nil {
		return err
	}
	return os.Chown(file, 0, id)
}

// kubeconfig embeds an authority and a client's pair (a path without extension).
func kubeconfig(server, authority, client string) ([]byte, error) {
	ca, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	certificate, err := os.ReadFile(client + ".crt")
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(client + ".key")
	if err != nil {
		return nil, err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["default"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	config.AuthInfos["default"] = &clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
	config.Contexts["default"] = &clientcmdapi.Context{Cluster: "default", AuthInfo: "default"}
	config.CurrentContext = "default"
	return clientcmd.Write(*config)
}
