package main

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// The lines look like logrus' text format, because tools that follow K3S read its journal.
var (
	logMutex  sync.Mutex
	debugLogs bool
)

func logLine(level, format string, args ...any) {
	logMutex.Lock()
	defer logMutex.Unlock()
	now := time.Now().UTC().Format(time.RFC3339)
	fmt.Fprintf(os.Stderr, "time=%q level=%s msg=%q\n", now, level, fmt.Sprintf(format, args...))
}

func debugf(format string, args ...any) {
	if debugLogs {
		logLine("debug", format, args...)
	}
}

func infof(format string, args ...any)    { logLine("info", format, args...) }
func warningf(format string, args ...any) { logLine("warning", format, args...) }
func errorf(format string, args ...any)   { logLine("error", format, args...) }

// fatalf writes the last line of this process; children die with it (see components.go).
func fatalf(format string, args ...any) {
	logLine("fatal", format, args...)
	os.Exit(1)
}
