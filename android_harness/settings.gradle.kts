// The build of Android Studio, over the same sources as pom.xml. It was NOT run where it was written: Gradle, the Android
// plugin, the SDK and the engines' AARs could not be had there. .github/workflows/android.yml runs it.
pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}

dependencyResolutionManagement {
    repositoriesMode = RepositoriesMode.FAIL_ON_PROJECT_REPOS
    repositories {
        google()
        mavenCentral()
    }
}

rootProject.name = "pocketgan-harness"

// All modules of pom.xml but jvm, which serves the Python tests alone.
include(":core", ":onnxruntime", ":executorch", ":bundle", ":app")
