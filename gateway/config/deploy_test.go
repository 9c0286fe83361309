package config

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// service is what is judged of docker-compose.yml.
type service struct {
	Image       string
	Command     []string
	User        string
	Ports       []string
	Volumes     []string
	ReadOnly    bool   `yaml:"read_only"`
	NetworkMode string `yaml:"network_mode"`
	HealthCheck struct{ Test []string }
}

func TestCompose(t *testing.T) {
	b, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]service
		Volumes  map[string]any
	}
	if err := yaml.Unmarshal(b, &compose); err != nil {
		t.Fatal(err)
	}
	for name, s := range compose.Services {
		if !s.ReadOnly {
			t.Errorf("%s may write its root", name)
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s can be reached from elsewhere: %s", name, p)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if _, named := compose.Volumes[from]; !named && !strings.HasPrefix(from, "./") {
				t.Errorf("%s: no volume %s", name, from)
			}
		}
	}
	gateway, redis := compose.Services["gateway"], compose.Services["redis"]
	if len(gateway.HealthCheck.Test) == 0 || len(redis.HealthCheck.Test) == 0 {
		t.Error("a service without a health check")
	}
	for option, value := range map[string]string{"--appendonly": "yes", "--appendfsync": "always", "--maxmemory-policy": "noeviction", "--no-appendfsync-on-rewrite": "no"} {
		if i := slices.Index(redis.Command, option); i < 0 || i+1 >= len(redis.Command) || redis.Command[i+1] != value {
			t.Errorf("redis is not told %s %s", option, value)
		}
	}
	if !slices.Contains(redis.Volumes, "redis:/data") || !slices.Contains(gateway.Volumes, "gateway:/var/lib/gateway") {
		t.Error("what must survive is not in a volume")
	}
}

// TestDeployedConfiguration: the file that compose mounts loads, keeps strictly, and is reachable the way
// compose wires it: all on loopback, in the host's network.
func TestDeployedConfiguration(t *testing.T) {
	c, err := Load("../deploy/gateway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range c.Warnings() {
		t.Error(f)
	}
	url, err := c.Store.Redis.URL.Read()
	if err != nil || c.Store.Redis.Durability != Strict || !strings.Contains(url, "127.0.0.1:6379") {
		t.Errorf("store: %s %s %v", url, c.Store.Redis.Durability, err)
	}
	if c.Admin.Listen != "127.0.0.1:8081" {
		t.Errorf("the health check asks 127.0.0.1:8081, the gateway listens at %s", c.Admin.Listen)
	}
	for _, path := range []string{c.Photos.Folder, c.Photos.Key.File()} {
		if !strings.HasPrefix(path, "/var/lib/gateway/") {
			t.Errorf("%s is outside the volume", path)
		}
	}
}
