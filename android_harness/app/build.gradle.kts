// Not run where it was written: see settings.gradle.kts. `make apk` builds the same sources without it.
plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "org.pocketgan.harness"
    compileSdk = libs.versions.compileSdk.get().toInt()

    defaultConfig {
        applicationId = "org.pocketgan.harness"
        minSdk = libs.versions.minSdk.get().toInt()
        targetSdk = libs.versions.targetSdk.get().toInt()
        versionCode = 1
        versionName = "0.1.0"
        ndk {
            abiFilters += "arm64-v8a"
        }
    }

    // No permission for the network, whatever an engine's AAR asks for.
    for (kind in listOf("debug", "release")) {
        sourceSets.getByName(kind).manifest.srcFile("src/gradle/AndroidManifest.xml")
    }

    signingConfigs {
        getByName("debug") {
            enableV3Signing = true
        }
    }

    buildTypes {
        release {
            isMinifyEnabled = true
            isShrinkResources = true
            proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"), "proguard-rules.pro")
            // The key of `make apk` too: whoever has an app that one of the two built can install the other over it.
            signingConfig = signingConfigs.getByName("debug")
        }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }

    packaging {
        jniLibs {
            // As the manifest says: compressed, and unpacked by the installer. Stored ones would be aligned to 16 KB pages
            // by the Android plugin; segments of these are, as their makers linked them.
            useLegacyPackaging = true
        }
    }

    testOptions {
        unitTests {
            isIncludeAndroidResources = true
            all { it.systemProperty("screenshots", layout.buildDirectory.dir("screenshots").get().asFile.path) }
        }
    }
}

dependencies {
    implementation(project(":onnxruntime"))
    implementation(project(":executorch"))
    implementation(project(":bundle"))
    testImplementation(libs.onnxruntime.jvm)
    testImplementation(libs.kotlin.test.junit)
    testImplementation(libs.junit)
    testImplementation(libs.robolectric)
}
