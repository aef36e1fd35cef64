// What a program with @kubernetes/client-node does: typed calls, a generic client, an informer that is told of every
// change. Prints one JSON document; the test says what must be in it.
//
//     node tour.mjs FOLDER-OF-THE-PACKAGE KUBECONFIG NAMESPACE
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, kubeconfig, namespace] = process.argv.slice(2);
const entry = JSON.parse(readFileSync(join(folder, 'package.json'))).main;
const k8s = await import(pathToFileURL(join(folder, entry)));

const config = new k8s.KubeConfig();
config.loadFromFile(kubeconfig);
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const generic = k8s.KubernetesObjectApi.makeApiClient(config);
const found = {};

async function until(condition) {
  const deadline = Date.now() + 60000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not in time: ${condition}; ${JSON.stringify(found)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// An informer: what is there, then each change.
const events = (found.events = []);
const path = `/api/v1/namespaces/${namespace}/configmaps`;
const list = () => core.listNamespacedConfigMap({ namespace, labelSelector: 'seen=yes' });
const informer = k8s.makeInformer(config, path, list, 'seen=yes');
for (const type of ['add', 'update', 'delete']) {
  informer.on(type, (item) => events.push([type, item.metadata.name, item.data?.n ?? '']));
}
informer.on('error', (error) => (found.error ??= String(error)));
const metadata = (name) => ({ name, labels: { seen: 'yes' } });
await core.createNamespacedConfigMap({ namespace, body: { metadata: metadata('before'), data: { n: '0' } } });
await informer.start();
await until(() => events.length === 1);
await core.createNamespacedConfigMap({ namespace, body: { metadata: metadata('after'), data: { n: '1' } } });
await until(() => events.length === 2);
const body = [{ op: 'replace', path: '/data/n', value: '2' }];
await core.patchNamespacedConfigMap({ namespace, name: 'after', body });
await until(() => events.length === 3);
await core.deleteNamespacedConfigMap({ namespace, name: 'after' });
await until(() => events.length === 4);
found.cached = informer.list().map((item) => item.metadata.name);
found.unhurt = !('error' in found);
await informer.stop();

// The generic client: apply, and read back by kind.
const labels = { app: 'web' };
const deployment = {
  apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', namespace },
  spec: {
    replicas: 2, selector: { matchLabels: labels },
    template: { metadata: { labels }, spec: { containers: [{ name: 'web', image: 'nginx:1' }] } },
  },
};
const applied = await generic.patch(
  deployment, undefined, undefined, 'tour', true, k8s.PatchStrategy.ServerSideApply,
);
found.managers = applied.metadata.managedFields.map((entry) => [entry.manager, entry.operation]);
await until(async () => (await apps.readNamespacedDeploymentStatus({ namespace, name: 'web' })).status.readyReplicas === 2);
const pods = await generic.list('v1', 'Pod', namespace, undefined, undefined, undefined, undefined, 'app=web');
found.pods = pods.items.map((pod) => pod.status.phase);

// A watch with the raw interface, from a resourceVersion.
const changes = (found.changes = []);
const resourceVersion = (await apps.listNamespacedDeployment({ namespace })).metadata.resourceVersion;
const watching = await new k8s.Watch(config).watch(
  `/apis/apps/v1/namespaces/${namespace}/deployments`, { resourceVersion, allowWatchBookmarks: true },
  (type, item) => changes.push([type, item.spec?.replicas]), () => {},
);
await apps.patchNamespacedDeploymentScale(
  { namespace, name: 'web', body: { spec: { replicas: 0 } } },
  k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.StrategicMergePatch),
);
await until(() => changes.some(([, replicas]) => replicas === 0));
watching.abort();

// An error is a Status.
try {
  await core.readNamespacedPod({ namespace, name: 'none' });
} catch (error) {
  const status = typeof error.body === 'string' ? JSON.parse(error.body) : error.body;
  found.refused = [error.code, status.message];
}
console.log(JSON.stringify(found));
process.exit(0);
