import js from '@eslint/js';
import reactHooks from 'eslint-plugin-react-hooks';
import globals from 'globals';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  {
    ignores: ['**/lib/', '**/labextension/', '**/node_modules/', '.*/']
  },
  js.configs.recommended,
  {
    // The hub's pages load these as they are.
    files: ['spawner/*/static/**/*.js'],
    languageOptions: { globals: globals.browser }
  },
  {
    files: ['extensions/*/src/**/*.{ts,tsx}'],
    extends: [...tseslint.configs.recommendedTypeChecked],
    plugins: { 'react-hooks': reactHooks },
    languageOptions: {
      parserOptions: { projectService: true }
    },
    rules: {
      ...reactHooks.configs.recommended.rules,
      curly: 'error',
      eqeqeq: 'error',
      '@typescript-eslint/naming-convention': [
        'error',
        {
          selector: 'interface',
          format: ['PascalCase'],
          custom: { regex: '^I[A-Z]', match: true }
        }
      ],
      // A token and its interface share a name, which is JupyterLab's convention.
      '@typescript-eslint/no-redeclare': 'off',
      // The test runner's `it` returns a promise that the runner itself awaits.
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', name: ['describe', 'it'], package: 'node:test' }
          ]
        }
      ]
    }
  }
);
