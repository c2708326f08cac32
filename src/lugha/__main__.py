from lugha.cli.main import main

main()
