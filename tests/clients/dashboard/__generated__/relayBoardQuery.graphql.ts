/**
 * @generated SignedSource<<03d03d3fe56251a844f0aac62383adbf>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import type { ConcreteRequest } from 'relay-runtime';
export type relayBoardQuery$variables = {
  id: string;
};
export type relayBoardQuery$data = {
  readonly customer: {
    readonly channel: {
      readonly id: string;
      readonly name: string;
    } | null | undefined;
    readonly files: {
      readonly nodes: ReadonlyArray<{
        readonly id: string;
        readonly name: string;
        readonly size: string;
      }> | null | undefined;
    } | null | undefined;
    readonly id: string;
    readonly name: string;
    readonly revenue: {
      readonly nodes: ReadonlyArray<{
        readonly id: string;
        readonly month: string;
        readonly revenue: string;
      }> | null | undefined;
    } | null | undefined;
  } | null | undefined;
};
export type relayBoardQuery = {
  response: relayBoardQuery$data;
  variables: relayBoardQuery$variables;
};

const node: ConcreteRequest = (function(){
var v0 = [
  {
    "defaultValue": null,
    "kind": "LocalArgument",
    "name": "id"
  }
],
v1 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "id",
  "storageKey": null
},
v2 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "name",
  "storageKey": null
},
v3 = [
  {
    "alias": null,
    "args": [
      {
        "kind": "Variable",
        "name": "id",
        "variableName": "id"
      }
    ],
    "concreteType": "Customer",
    "kind": "LinkedField",
    "name": "customer",
    "plural": false,
    "selections": [
      (v1/*:: as any*/),
      (v2/*:: as any*/),
      {
        "alias": null,
        "args": null,
        "concreteType": "Channel",
        "kind": "LinkedField",
        "name": "channel",
        "plural": false,
        "selections": [
          (v1/*:: as any*/),
          (v2/*:: as any*/)
        ],
        "storageKey": null
      },
      {
        "alias": null,
        "args": [
          {
            "kind": "Literal",
            "name": "first",
            "value": 3
          }
        ],
        "concreteType": "RevenueMonthConnection",
        "kind": "LinkedField",
        "name": "revenue",
        "plural": false,
        "selections": [
          {
            "alias": null,
            "args": null,
            "concreteType": "RevenueMonth",
            "kind": "LinkedField",
            "name": "nodes",
            "plural": true,
            "selections": [
              (v1/*:: as any*/),
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "month",
                "storageKey": null
              },
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "revenue",
                "storageKey": null
              }
            ],
            "storageKey": null
          }
        ],
        "storageKey": "revenue(first:3)"
      },
      {
        "alias": null,
        "args": [
          {
            "kind": "Literal",
            "name": "first",
            "value": 2
          }
        ],
        "concreteType": "FileConnection",
        "kind": "LinkedField",
        "name": "files",
        "plural": false,
        "selections": [
          {
            "alias": null,
            "args": null,
            "concreteType": "File",
            "kind": "LinkedField",
            "name": "nodes",
            "plural": true,
            "selections": [
              (v1/*:: as any*/),
              (v2/*:: as any*/),
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "size",
                "storageKey": null
              }
            ],
            "storageKey": null
          }
        ],
        "storageKey": "files(first:2)"
      }
    ],
    "storageKey": null
  }
];
return {
  "fragment": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Fragment",
    "metadata": null,
    "name": "relayBoardQuery",
    "selections": (v3/*:: as any*/),
    "type": "Query",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Operation",
    "name": "relayBoardQuery",
    "selections": (v3/*:: as any*/)
  },
  "params": {
    "cacheID": "2872022896fc40c8ac92645ec623f260",
    "id": null,
    "metadata": {},
    "name": "relayBoardQuery",
    "operationKind": "query",
    "text": "query relayBoardQuery(\n  $id: ID!\n) {\n  customer(id: $id) {\n    id\n    name\n    channel {\n      id\n      name\n    }\n    revenue(first: 3) {\n      nodes {\n        id\n        month\n        revenue\n      }\n    }\n    files(first: 2) {\n      nodes {\n        id\n        name\n        size\n      }\n    }\n  }\n}\n"
  }
};
})();

(node as any).hash = "c483b015aedbaea16f6b00abd3a1046b";

export default node;
