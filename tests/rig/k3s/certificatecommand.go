package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

type certificateRow struct {
	File    string    `json:"filename"`
	Subject string    `json:"subject"`
	CA      bool      `json:"ca"`
	Expires time.Time `json:"expires"`
	Status  string    `json:"status"`
}

func runCertificate(arguments []string) error {
	options, err := parseOptions("certificate", arguments)
	if err != nil {
		return err
	}
	action := firstOf(options.Rest...)
	rows, err := certificateRows(pathsOf(options))
	if err != nil {
		return err
	}
	switch action {
	case "check":
		return printCertificates(rows, options.String("output"))
	case "rotate":
		return rotateCertificates(rows)
	default:
		return fmt.Errorf("this test distribution knows `k3s certificate check` and `rotate`, not %q", action)
	}
}

func certificateRows(paths Paths) ([]certificateRow, error) {
	rows := []certificateRow{}
	for _, root := range []string{paths.tls(), paths.agent()} {
		err := filepath.WalkDir(root, func(file string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(file) != ".crt" {
				return nil //nolint:nilerr // agents have no server folder
			}
			found, err := loadCertificate(file)
			if err != nil {
				return err
			}
			row := certificateRow{File: file, Subject: found.Subject.String(), CA: found.IsCA, Expires: found.NotAfter, Status: "OK"}
			if time.Until(found.NotAfter) < renewBefore {
				row.Status = "WARNING"
			}
			rows = append(rows, row)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func printCertificates(rows []certificateRow, output string) error {
	switch output {
	case "json":
		return json.NewEncoder(os.Stdout).Encode(rows)
	case "table":
		table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "FILENAME\tSUBJECT\tUSAGES\tEXPIRES\tRESIDUAL TIME\tSTATUS")
		for _, row := range rows {
			usage := "Leaf"
			if row.CA {
				usage = "CertSign"
			}
			days := int(time.Until(row.Expires).Hours() / 24)
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d days\t%s\n", filepath.Base(row.File), row.Subject, usage,
				row.Expires.Format("Jan 02, 2006 15:04 MST"), days, row.Status)
		}
		return table.Flush()
	default:
		for _, row := range rows {
			infof("%s: certificate %s is ok, expires at %s", row.File, row.Subject, row.Expires.Format(time.RFC3339))
		}
		return nil
	}
}

// rotateCertificates removes the leaves; the next start issues new ones.
func rotateCertificates(rows []certificateRow) error {
	for _, row := range rows {
		if row.CA {
			continue
		}
		if err := os.Remove(row.File); err != nil {
			return err
		}
		if err := os.Remove(strings.TrimSuffix(row.File, ".crt") + ".key"); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	infof("Successfully backed up certificates, please restart k3s server or agent to rotate certificates")
	return nil
}
