package config

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

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
	Environment map[string]string
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
	redis := compose.Services["redis"]
	for _, name := range []string{"gateway1", "gateway2", "gateway3", "haproxy", "redis"} {
		if len(compose.Services[name].HealthCheck.Test) == 0 {
			t.Errorf("%s has no health check", name)
		}
	}
	for option, value := range map[string]string{"--appendonly": "yes", "--appendfsync": "always", "--maxmemory-policy": "noeviction", "--no-appendfsync-on-rewrite": "no"} {
		if i := slices.Index(redis.Command, option); i < 0 || i+1 >= len(redis.Command) || redis.Command[i+1] != value {
			t.Errorf("redis is not told %s %s", option, value)
		}
	}
	if !slices.Contains(redis.Volumes, "redis:/data") {
		t.Error("what Redis must keep is not in a volume")
	}
	proxy, err := os.ReadFile("../deploy/haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 3; i++ {
		gateway := compose.Services[fmt.Sprint("gateway", i)]
		if !slices.Contains(gateway.Volumes, "gateway:/var/lib/gateway") {
			t.Errorf("gateway%d: its photos are not in the volume that all share", i)
		}
		_, admin, _ := strings.Cut(gateway.Environment["GATEWAY_ADMIN"], ":")
		for name, want := range map[string]string{"MLLP": gateway.Environment["GATEWAY_MLLP"], "HTTP": gateway.Environment["GATEWAY_HTTP"], "ADMIN_PORT": admin} {
			if text := fmt.Sprintf(`"${GATEWAY%d_%s-%s}"`, i, name, want); want == "" || !strings.Contains(string(proxy), text) {
				t.Errorf("HAProxy does not look for gateway%d at %s", i, text)
			}
		}
	}
}

// TestHAProxyTakesItsConfiguration asks HAProxy itself.
func TestHAProxyTakesItsConfiguration(t *testing.T) {
	haproxy, err := exec.LookPath("haproxy")
	if err != nil {
		haproxy = "/usr/sbin/haproxy"
	}
	if out, err := exec.Command(haproxy, "-c", "-f", "../deploy/haproxy.cfg").CombinedOutput(); err != nil || strings.Contains(string(out), "WARNING") {
		t.Fatalf("these tests need haproxy (apt-get install haproxy): %v\n%s", err, out)
	}
}

// TestDeployedConfiguration: the file that compose mounts loads, keeps strictly, and is reachable the way
// compose wires it: all on loopback, in the host's network.
func TestDeployedConfiguration(t *testing.T) {
	for name, address := range map[string]string{"GATEWAY_MLLP": "127.0.0.1:2601", "GATEWAY_HTTP": "127.0.0.1:8101", "GATEWAY_ADMIN": "127.0.0.1:8181"} {
		t.Setenv(name, address)
	}
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
	if c.Admin.Listen != "127.0.0.1:8181" || c.Sources[0].Listen != "127.0.0.1:2601" || c.Shutdown.Notice < 2*time.Second {
		t.Errorf("operations at %s, MLLP at %s, a notice of %s", c.Admin.Listen, c.Sources[0].Listen, c.Shutdown.Notice)
	}
	for _, path := range []string{c.Photos.Folder, c.Photos.Key.File()} {
		if !strings.HasPrefix(path, "/var/lib/gateway/") {
			t.Errorf("%s is outside the volume", path)
		}
	}
}
