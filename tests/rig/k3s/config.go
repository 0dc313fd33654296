package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v2"
)

// defaultConfigFile is where K3S looks when neither --config nor K3S_CONFIG_FILE says otherwise.
const defaultConfigFile = "/etc/rancher/k3s/config.yaml"

// Options holds the settings of one run: command line over files over environment over defaults.
type Options struct {
	command string
	specs   map[string]flagSpec
	values  map[string][]string
	Rest    []string // words of the command line that are no flags
}

// parseOptions reads the command line and the configuration files of a subcommand.
func parseOptions(command string, arguments []string) (*Options, error) {
	options := newOptions(command)
	given, err := options.parseArguments(arguments)
	if err != nil {
		return nil, err
	}
	if err := options.readFiles(configFile(given)); err != nil {
		return nil, err
	}
	for name, values := range given {
		options.values[name] = values
	}
	debugLogs = options.Bool("debug")
	return options, nil
}

func newOptions(command string) *Options {
	options := &Options{command: command, specs: map[string]flagSpec{}, values: map[string][]string{}}
	for _, spec := range flagsOf(command) {
		if _, taken := options.specs[spec.name]; taken {
			continue
		}
		options.specs[spec.name] = spec
		for _, alias := range spec.aliases {
			options.specs[alias] = spec
		}
	}
	return options
}

func configFile(given map[string][]string) string {
	if values := given["config"]; len(values) > 0 {
		return values[len(values)-1]
	}
	if file := os.Getenv("K3S_CONFIG_FILE"); file != "" {
		return file
	}
	return defaultConfigFile
}

func (o *Options) parseArguments(arguments []string) (map[string][]string, error) {
	given := map[string][]string{}
	for index := 0; index < len(arguments); index++ {
		word := arguments[index]
		if word == "--" {
			o.Rest = append(o.Rest, arguments[index+1:]...)
			break
		}
		if !strings.HasPrefix(word, "-") || word == "-" {
			o.Rest = append(o.Rest, word)
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
		spec, known := o.specs[name]
		if !known {
			return nil, fmt.Errorf("flag provided but not defined: -%s", name)
		}
		if !hasValue && spec.kind == switchFlag {
			value = "true"
		} else if !hasValue {
			index++
			if index >= len(arguments) {
				return nil, fmt.Errorf("flag needs an argument: -%s", name)
			}
			value = arguments[index]
		}
		if err := checkValue(spec, value); err != nil {
			return nil, err
		}
		given[spec.name] = append(given[spec.name], splitList(spec, value)...)
	}
	return given, nil
}

func checkValue(spec flagSpec, value string) error {
	if spec.kind != switchFlag {
		return nil
	}
	if _, err := strconv.ParseBool(value); err != nil {
		return fmt.Errorf("invalid boolean value %q for -%s: parse error", value, spec.name)
	}
	return nil
}

// splitList takes a,b apart where K3S does; arguments of components may hold commas and stay whole.
func splitList(spec flagSpec, value string) []string {
	if spec.kind != list || strings.HasSuffix(spec.name, "-arg") {
		return []string{value}
	}
	return strings.Split(value, ",")
}

// readFiles merges config.yaml and the files beside it in config.yaml.d, in the order of their names.
func (o *Options) readFiles(main string) error {
	files := []string{}
	if _, err := os.Stat(main); err == nil {
		files = append(files, main)
	}
	extra, err := filepath.Glob(main + ".d/*.y*ml")
	if err != nil {
		return err
	}
	sort.Strings(extra)
	for _, file := range append(files, extra...) {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := o.merge(file, content); err != nil {
			return err
		}
	}
	return nil
}

func (o *Options) merge(file string, content []byte) error {
	items := yaml.MapSlice{}
	if err := yaml.Unmarshal(content, &items); err != nil {
		return fmt.Errorf("failed to parse %s: %w", file, err)
	}
	for _, item := range items {
		key := fmt.Sprint(item.Key)
		name, appends := strings.CutSuffix(key, "+")
		spec, known := o.specs[name]
		if !known || !o.readsFromFile(name) {
			if err := o.unknownKey(name); err != nil {
				return err
			}
			continue
		}
		values := words(item.Value)
		for _, value := range values {
			if err := checkValue(spec, value); err != nil {
				return err
			}
		}
		if spec.kind == list {
			values = splitAll(spec, values)
		}
		if appends {
			values = append(append([]string{}, o.values[spec.name]...), values...)
		}
		o.values[spec.name] = values
	}
	return nil
}

// readsFromFile keeps the short commands from taking the server's token and join address for theirs.
func (o *Options) readsFromFile(name string) bool {
	switch o.command {
	case "server", "agent", "etcd-snapshot":
		return true
	default:
		return name == "data-dir" || name == "https-listen-port" || name == "write-kubeconfig"
	}
}

// unknownKey does as K3S does: a server skips the key with a warning, an agent refuses to start.
func (o *Options) unknownKey(name string) error {
	switch o.command {
	case "server", "etcd-snapshot":
		warningf("Unknown flag --%s found in config.yaml, skipping\n", name)
		return nil
	case "agent":
		return fmt.Errorf("flag provided but not defined: -%s", name)
	default:
		return nil // the short commands read a few keys of the server's file
	}
}

func splitAll(spec flagSpec, values []string) []string {
	var all []string
	for _, value := range values {
		all = append(all, splitList(spec, value)...)
	}
	return all
}

func words(value any) []string {
	items, isList := value.([]any)
	if !isList {
		return []string{fmt.Sprint(value)}
	}
	result := []string{}
	for _, item := range items {
		result = append(result, fmt.Sprint(item))
	}
	return result
}

// List gives all values of a key; nil when nothing was said and there is no default.
func (o *Options) List(name string) []string {
	if values, set := o.values[name]; set {
		return values
	}
	spec := o.specs[name]
	if spec.variable != "" {
		if value, set := os.LookupEnv(spec.variable); set && value != "" {
			return splitList(spec, value)
		}
	}
	if spec.initial != "" {
		return []string{spec.initial}
	}
	return nil
}

// String gives the last value of a key, or "".
func (o *Options) String(name string) string {
	values := o.List(name)
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// Bool tells whether a switch is on.
func (o *Options) Bool(name string) bool {
	value, err := strconv.ParseBool(o.String(name))
	return err == nil && value
}

// Int gives a whole number, or 0 when the value is none.
func (o *Options) Int(name string) int {
	value, err := strconv.Atoi(o.String(name))
	if err != nil {
		return 0
	}
	return value
}

// secret reads a token from its key, or from the file named by KEY-file.
func (o *Options) secret(name string) (string, error) {
	if value := o.String(name); value != "" {
		return value, nil
	}
	file := o.String(name + "-file")
	if file == "" {
		return "", nil
	}
	content, err := os.ReadFile(file)
	return strings.TrimRight(string(content), "\n"), err
}
