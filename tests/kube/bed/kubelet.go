package main

// A small kubelet: it takes every pod that has no node, runs its containers as processes, and
// serves exec, attach, logs and port-forward by the library that container runtimes use.

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/klog/v2"
)

const idle, creation = 4 * time.Hour, remotecommand.DefaultStreamCreationTimeout

var background = context.Background()

type resizes = <-chan remotecommand.TerminalSize

type kubelet struct {
	client  kubernetes.Interface
	node    string
	address string
	port    int32
	folder  string
	lock    sync.Mutex
	pods    map[types.UID]*pod
}

func kubeletMain(args []string) error {
	flags := flag.NewFlagSet("kubelet", flag.ExitOnError)
	config := flags.String("kubeconfig", "", "admin kubeconfig")
	address := flags.String("address", "", "address of the node and of its pods")
	port := flags.Int("port", 10250, "port of the kubelet")
	name := flags.String("node", "bed", "name of the node")
	folder := flags.String("data", "", "folder of the containers")
	certificate := flags.String("tls-cert-file", "", "")
	key := flags.String("tls-private-key-file", "", "")
	ca := flags.String("client-ca-file", "", "")
	flags.Parse(args)

	rest, err := clientcmd.BuildConfigFromFlags("", *config)
	if err != nil {
		return err
	}
	rest.QPS, rest.Burst = 500, 1000
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return err
	}
	k := &kubelet{
		client: client, node: *name, address: *address, port: int32(*port), folder: *folder,
		pods: map[types.UID]*pod{},
	}
	if err := k.register(); err != nil {
		return err
	}
	go k.watch()
	pem, err := os.ReadFile(*ca)
	if err != nil {
		return err
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(pem)
	server := &http.Server{
		Addr: net.JoinHostPort(*address, strconv.Itoa(*port)), Handler: k.routes(),
		TLSConfig: &tls.Config{ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert},
		// An upgrade is HTTP/1.1.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	return server.ListenAndServeTLS(*certificate, *key)
}

func (k *kubelet) register() error {
	nodes := k.client.CoreV1().Nodes()
	labels := map[string]string{"kubernetes.io/hostname": k.node}
	node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: k.node, Labels: labels}}
	if _, err := nodes.Get(background, k.node, metav1.GetOptions{}); err != nil {
		if _, err := nodes.Create(background, node, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	room := v1.ResourceList{
		v1.ResourceCPU: resource.MustParse("64"), v1.ResourceMemory: resource.MustParse("256Gi"),
		v1.ResourcePods: resource.MustParse("10000"),
	}
	now := metav1.Now()
	// Without declaredFeatures: the library knows no v5, so the apiserver has to translate.
	patch, err := json.Marshal(map[string]any{"status": v1.NodeStatus{
		Addresses: []v1.NodeAddress{
			{Type: v1.NodeInternalIP, Address: k.address}, {Type: v1.NodeHostName, Address: k.node},
		},
		DaemonEndpoints: v1.NodeDaemonEndpoints{KubeletEndpoint: v1.DaemonEndpoint{Port: k.port}},
		Capacity:        room, Allocatable: room,
		NodeInfo: v1.NodeSystemInfo{
			KubeletVersion: "v1.37.2", OperatingSystem: "linux", Architecture: "amd64",
			ContainerRuntimeVersion: "bed://1",
		},
		Conditions: []v1.NodeCondition{{
			Type: v1.NodeReady, Status: v1.ConditionTrue, LastHeartbeatTime: now,
			LastTransitionTime: now,
		}},
	}})
	if err == nil {
		_, err = nodes.Patch(background, k.node, types.StrategicMergePatchType, patch,
			metav1.PatchOptions{}, "status")
	}
	return err
}

func (k *kubelet) watch() {
	factory := informers.NewSharedInformerFactory(k.client, 0)
	informer := factory.Core().V1().Pods().Informer()
	informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { k.sync(object.(*v1.Pod)) },
		UpdateFunc: func(_, object any) { k.sync(object.(*v1.Pod)) },
		DeleteFunc: func(object any) {
			if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = last.Obj
			}
			k.remove(object.(*v1.Pod).UID)
		},
	})
	factory.Start(make(chan struct{}))
}

func (k *kubelet) sync(object *v1.Pod) {
	if object.Spec.NodeName == "" {
		// There is no scheduler. Pods with gates never run.
		if len(object.Spec.SchedulingGates) == 0 && object.DeletionTimestamp == nil {
			binding := &v1.Binding{
				ObjectMeta: metav1.ObjectMeta{Name: object.Name, UID: object.UID},
				Target:     v1.ObjectReference{Kind: "Node", Name: k.node},
			}
			pods := k.client.CoreV1().Pods(object.Namespace)
			err := pods.Bind(background, binding, metav1.CreateOptions{})
			if err != nil {
				klog.V(2).InfoS("bind", "pod", klog.KObj(object), "err", err)
			}
		}
		return
	}
	if object.Spec.NodeName != k.node {
		return
	}
	k.lock.Lock()
	known := k.pods[object.UID]
	over := object.Status.Phase == v1.PodSucceeded || object.Status.Phase == v1.PodFailed
	if known == nil && (!over || object.DeletionTimestamp != nil) {
		known = newPod(k, object)
		k.pods[object.UID] = known
	}
	k.lock.Unlock()
	if known == nil {
		return
	}
	known.lock.Lock()
	known.object = object
	known.lock.Unlock()
	if object.DeletionTimestamp != nil {
		known.end(object)
		return
	}
	known.ephemeral(object)
}

func (k *kubelet) remove(uid types.UID) {
	k.lock.Lock()
	known := k.pods[uid]
	delete(k.pods, uid)
	k.lock.Unlock()
	if known != nil {
		known.kill()
	}
}

func (k *kubelet) find(namespace, name string) (*pod, error) {
	k.lock.Lock()
	defer k.lock.Unlock()
	for _, known := range k.pods {
		if known.object.Namespace == namespace && known.object.Name == name {
			return known, nil
		}
	}
	return nil, fmt.Errorf("pod %s/%s not found", namespace, name)
}

// environment: plain values, and those of Secrets and ConfigMaps by key.
func (k *kubelet) environment(object *v1.Pod, spec v1.Container) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOSTNAME=" + object.Name, "HOME=/", "TERM=xterm",
		"KUBERNETES_SERVICE_HOST=10.96.0.1", "KUBERNETES_SERVICE_PORT=443",
	}
	for _, variable := range spec.Env {
		value := expand(variable.Value, env)
		if from := variable.ValueFrom; from != nil {
			value = k.lookUp(object, from)
		}
		env = append(env, variable.Name+"="+value)
	}
	return env
}

func (k *kubelet) lookUp(object *v1.Pod, from *v1.EnvVarSource) string {
	switch {
	case from.SecretKeyRef != nil:
		secrets := k.client.CoreV1().Secrets(object.Namespace)
		secret, err := secrets.Get(background, from.SecretKeyRef.Name, metav1.GetOptions{})
		if err == nil {
			return string(secret.Data[from.SecretKeyRef.Key])
		}
	case from.ConfigMapKeyRef != nil:
		configs := k.client.CoreV1().ConfigMaps(object.Namespace)
		config, err := configs.Get(background, from.ConfigMapKeyRef.Name, metav1.GetOptions{})
		if err == nil {
			return config.Data[from.ConfigMapKeyRef.Key]
		}
	case from.FieldRef != nil:
		switch from.FieldRef.FieldPath {
		case "metadata.name":
			return object.Name
		case "metadata.namespace":
			return object.Namespace
		}
	}
	return ""
}

// expand replaces $(NAME) by what stands in `env`.
func expand(word string, env []string) string {
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		word = strings.ReplaceAll(word, "$("+name+")", value)
	}
	return word
}

func (k *kubelet) routes() http.Handler {
	mux := http.NewServeMux()
	for _, method := range []string{"GET", "POST"} {
		for _, uid := range []string{"", "/{uid}"} {
			mux.HandleFunc(method+" /exec/{ns}/{pod}"+uid+"/{container}", k.exec)
			mux.HandleFunc(method+" /attach/{ns}/{pod}"+uid+"/{container}", k.attach)
			mux.HandleFunc(method+" /portForward/{ns}/{pod}"+uid, k.portForward)
		}
	}
	mux.HandleFunc("POST /run/{ns}/{pod}/{container}", k.run)
	mux.HandleFunc("GET /containerLogs/{ns}/{pod}/{container}", k.logs)
	mux.HandleFunc("GET /pods", k.list)
	mux.HandleFunc("GET /runningpods/", k.list)
	for path, text := range map[string]string{
		"/healthz": "ok", "/configz": `{"kubeletconfig":{}}`, "/metrics": "kubelet_bed 1\n",
		"/stats/summary": `{"node":{}}`,
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, text)
		})
	}
	return mux
}

// ExecInContainer is what the library asks for.
func (k *kubelet) ExecInContainer(_ context.Context, name, _, containerName string, argv []string,
	in io.Reader, out, errOut io.WriteCloser, tty bool, resize resizes, _ time.Duration) error {
	namespace, podName, _ := strings.Cut(name, "/")
	found, err := k.find(namespace, podName)
	if err != nil {
		return err
	}
	c := found.find(containerName)
	if c == nil {
		return fmt.Errorf("container %q not found", containerName)
	}
	if len(argv) == 0 {
		return fmt.Errorf("no command")
	}
	l := found.launch(c)
	l.argv, l.tty = argv, tty
	return run(l, in, out, errOut, resize)
}

// AttachContainer is what the library asks for.
func (k *kubelet) AttachContainer(_ context.Context, name, _, containerName string,
	in io.Reader, out, errOut io.WriteCloser, _ bool, resize resizes) error {
	namespace, podName, _ := strings.Cut(name, "/")
	found, err := k.find(namespace, podName)
	if err != nil {
		return err
	}
	running, err := found.process(containerName, false)
	if err != nil {
		return err
	}
	select {
	case <-running.done:
		// kubectl shows the logs then.
		return fmt.Errorf("container %q is not running", containerName)
	default:
	}
	c := found.find(containerName)
	running.follow(in, out, errOut, c.spec.StdinOnce, resize)
	return nil
}

// PortForward is what the library asks for: one connection to a port of the pod.
func (k *kubelet) PortForward(_ context.Context, name, _ string, port int32,
	client io.ReadWriteCloser) error {
	var connection net.Conn
	var err error
	text := strconv.Itoa(int(port))
	for _, host := range []string{"127.0.0.1", k.address} {
		connection, err = net.DialTimeout("tcp", net.JoinHostPort(host, text), 5*time.Second)
		if err == nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("failed to connect to localhost:%s inside %s: %v", text, name, err)
	}
	defer connection.Close()
	answered := make(chan struct{})
	go func() {
		io.Copy(client, connection)
		close(answered)
	}()
	io.Copy(connection, client)
	connection.(*net.TCPConn).CloseWrite()
	<-answered
	return nil
}

func podOf(r *http.Request) string { return r.PathValue("ns") + "/" + r.PathValue("pod") }

func (k *kubelet) exec(w http.ResponseWriter, r *http.Request) {
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeExec(w, r, k, podOf(r), r.PathValue("uid"), r.PathValue("container"),
		r.URL.Query()["command"], options, idle, creation, remotecommand.SupportedStreamingProtocols)
}

func (k *kubelet) attach(w http.ResponseWriter, r *http.Request) {
	options, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeAttach(w, r, k, podOf(r), r.PathValue("uid"), r.PathValue("container"),
		options, idle, creation, remotecommand.SupportedStreamingProtocols)
}

func (k *kubelet) portForward(w http.ResponseWriter, r *http.Request) {
	options, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(w, r, k, podOf(r), r.PathValue("uid"), options,
		idle, creation, portforward.SupportedProtocols)
}

// run is the kubelet's oldest way to execute: no upgrade, all output as the body.
func (k *kubelet) run(w http.ResponseWriter, r *http.Request) {
	out := nopCloser{w}
	argv := strings.Fields(r.FormValue("cmd"))
	err := k.ExecInContainer(r.Context(), podOf(r), "", r.PathValue("container"), argv,
		nil, out, out, false, nil, 0)
	if err != nil {
		fmt.Fprintln(w, err)
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func (k *kubelet) list(w http.ResponseWriter, _ *http.Request) {
	k.lock.Lock()
	list := v1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}}
	for _, known := range k.pods {
		list.Items = append(list.Items, *known.object)
	}
	k.lock.Unlock()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(list)
}

func (k *kubelet) logs(w http.ResponseWriter, r *http.Request) {
	found, err := k.find(r.PathValue("ns"), r.PathValue("pod"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	query := r.URL.Query()
	ended, err := found.process(r.PathValue("container"), query.Get("previous") == "true")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	asked := newLogQuery(query)
	w.Header().Set("Content-Type", "text/plain")
	flusher, _ := w.(http.Flusher)
	seen := 0
	for {
		lines, more, changed := ended.out.from(seen)
		first := seen == 0
		seen += len(lines)
		if first {
			lines = asked.choose(lines)
		}
		for _, one := range lines {
			if !asked.write(w, one) {
				return
			}
		}
		if flusher != nil {
			flusher.Flush()
		}
		if !asked.follow || !more {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

type logQuery struct {
	follow, timestamps bool
	tail, limit        int
	since              time.Time
	stream             string
}

func newLogQuery(query map[string][]string) *logQuery {
	first := func(name string) string {
		if values := query[name]; len(values) > 0 {
			return values[0]
		}
		return ""
	}
	asked := &logQuery{follow: first("follow") == "true", timestamps: first("timestamps") == "true", tail: -1, limit: -1}
	if n, err := strconv.Atoi(first("tailLines")); err == nil {
		asked.tail = n
	}
	if n, err := strconv.Atoi(first("limitBytes")); err == nil {
		asked.limit = n
	}
	if n, err := strconv.Atoi(first("sinceSeconds")); err == nil {
		asked.since = time.Now().Add(-time.Duration(n) * time.Second)
	}
	if at, err := time.Parse(time.RFC3339, first("sinceTime")); err == nil {
		asked.since = at
	}
	asked.stream = strings.ToLower(first("stream"))
	return asked
}

func (q *logQuery) choose(lines []line) []line {
	kept := []line{}
	for _, one := range lines {
		if !one.at.Before(q.since) {
			kept = append(kept, one)
		}
	}
	if q.tail >= 0 && len(kept) > q.tail {
		kept = kept[len(kept)-q.tail:]
	}
	return kept
}

func (q *logQuery) write(w io.Writer, one line) bool {
	if q.stream == "stdout" || q.stream == "stderr" {
		if one.stream != q.stream {
			return true
		}
	}
	text := append(append([]byte(nil), one.text...), '\n')
	if q.timestamps {
		text = append([]byte(one.at.UTC().Format("2006-01-02T15:04:05.000000000Z07:00")+" "), text...)
	}
	if q.limit >= 0 && len(text) > q.limit {
		text = text[:q.limit]
	}
	if q.limit >= 0 {
		q.limit -= len(text)
	}
	if _, err := w.Write(text); err != nil {
		return false
	}
	return q.limit != 0
}
