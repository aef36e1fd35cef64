"""Why a pod is not placed: every node's verdict, and the smallest change that would make it fit."""
